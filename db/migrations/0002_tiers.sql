-- Roll-ups of the samples. 1m stands alone, for alerts and fresh zooms, and is kept short; 5m reads the
-- samples too and carries 1h and 1d. So each tier outlives what it is made from, and a late sample
-- always finds its whole bucket still there.

CREATE MATERIALIZED VIEW system_metrics_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '1 day') AS
SELECT series_id,
       time_bucket(interval '1 minute', time) AS bucket,
       count(*) AS count,
       sum(value) AS sum,
       min(value) AS min,
       max(value) AS max,
       first(value, time) AS first,
       last(value, time) AS last
FROM system_metrics
GROUP BY series_id, time_bucket(interval '1 minute', time)
WITH NO DATA;

CREATE MATERIALIZED VIEW system_metrics_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '7 days') AS
SELECT series_id,
       time_bucket(interval '5 minutes', time) AS bucket,
       count(*) AS count,
       sum(value) AS sum,
       min(value) AS min,
       max(value) AS max,
       first(value, time) AS first,
       last(value, time) AS last
FROM system_metrics
GROUP BY series_id, time_bucket(interval '5 minutes', time)
WITH NO DATA;

CREATE MATERIALIZED VIEW system_metrics_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '28 days') AS
SELECT series_id,
       time_bucket(interval '1 hour', bucket) AS bucket,
       sum(count)::bigint AS count,
       sum(sum) AS sum,
       min(min) AS min,
       max(max) AS max,
       first(first, bucket) AS first,
       last(last, bucket) AS last
FROM system_metrics_5m
GROUP BY series_id, time_bucket(interval '1 hour', bucket)
WITH NO DATA;

CREATE MATERIALIZED VIEW system_metrics_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '364 days') AS
SELECT series_id,
       time_bucket(interval '1 day', bucket) AS bucket,
       sum(count)::bigint AS count,
       sum(sum) AS sum,
       min(min) AS min,
       max(max) AS max,
       first(first, bucket) AS first,
       last(last, bucket) AS last
FROM system_metrics_1h
GROUP BY series_id, time_bucket(interval '1 day', bucket)
WITH NO DATA;

ALTER MATERIALIZED VIEW system_metrics_1m SET (timescaledb.compress = true, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket DESC');
ALTER MATERIALIZED VIEW system_metrics_5m SET (timescaledb.compress = true, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket DESC');
ALTER MATERIALIZED VIEW system_metrics_1h SET (timescaledb.compress = true, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket DESC');
ALTER MATERIALIZED VIEW system_metrics_1d SET (timescaledb.compress = true, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket DESC');

COMMENT ON VIEW system_metrics_1m IS 'Samples by series and minute; the newest minutes are computed as they are read.';
COMMENT ON VIEW system_metrics_5m IS 'Samples by series and five minutes; the newest are computed as they are read.';
COMMENT ON VIEW system_metrics_1h IS 'Samples by series and hour; the newest are computed as they are read.';
COMMENT ON VIEW system_metrics_1d IS 'Samples by series and UTC day; the newest are computed as they are read.';

DO $$
DECLARE
    tier text;
BEGIN
    FOREACH tier IN ARRAY ARRAY['1m', '5m', '1h', '1d'] LOOP
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.series_id IS %L', tier, 'The series.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.bucket IS %L', tier, 'Start of the bucket.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.count IS %L', tier, 'Number of samples.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.sum IS %L', tier, 'Sum of the values; sum / count is the mean.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.min IS %L', tier, 'Smallest value.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.max IS %L', tier, 'Largest value.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.first IS %L', tier, 'Oldest value.');
        EXECUTE format('COMMENT ON COLUMN system_metrics_%s.last IS %L', tier, 'Newest value.');
    END LOOP;
END
$$;

CREATE TABLE tiers (
    name           text PRIMARY KEY,
    relation       name NOT NULL,
    source         text REFERENCES tiers,
    width          interval NOT NULL,
    keep           interval,
    keep_applied   interval,
    compress_after interval,
    refreshed_to   timestamptz NOT NULL DEFAULT '-infinity',
    dropped_to     timestamptz NOT NULL DEFAULT '-infinity',
    position       integer NOT NULL UNIQUE
);
COMMENT ON TABLE tiers IS 'What is kept at which density: the wanted state, and how far the maintenance has come.';
COMMENT ON COLUMN tiers.name IS 'Name of the tier, as in answers of the API.';
COMMENT ON COLUMN tiers.relation IS 'Table or aggregate that holds it.';
COMMENT ON COLUMN tiers.source IS 'Tier it is rolled up from; null: it is written.';
COMMENT ON COLUMN tiers.width IS 'Width of a bucket; zero for samples.';
COMMENT ON COLUMN tiers.keep IS 'How long rows are kept; null: for ever.';
COMMENT ON COLUMN tiers.keep_applied IS 'The value of keep at the last run, so that a shorter one acts a run later, after what was still accepted is rolled up.';
COMMENT ON COLUMN tiers.compress_after IS 'Age at which a chunk is compressed; null: never.';
COMMENT ON COLUMN tiers.refreshed_to IS 'End of what the last run rolled up.';
COMMENT ON COLUMN tiers.dropped_to IS 'End of what was dropped; before it, buckets of this tier cannot be recomputed.';
COMMENT ON COLUMN tiers.position IS 'Order of the maintenance: a source comes before what is made from it.';

INSERT INTO tiers (name, relation, source, width, position) VALUES
    ('raw', 'system_metrics', NULL, '0', 0),
    ('1m', 'system_metrics_1m', 'raw', '1 minute', 1),
    ('5m', 'system_metrics_5m', 'raw', '5 minutes', 2),
    ('1h', 'system_metrics_1h', '5m', '1 hour', 3),
    ('1d', 'system_metrics_1d', '1h', '1 day', 4);

CREATE TABLE maintenance_runs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    step        text NOT NULL,
    refreshed   integer NOT NULL DEFAULT 0,
    compressed  integer NOT NULL DEFAULT 0,
    dropped     integer NOT NULL DEFAULT 0,
    error       text
);
COMMENT ON TABLE maintenance_runs IS 'Each run of the maintenance. One that never finished was interrupted, and says where.';
COMMENT ON COLUMN maintenance_runs.id IS 'Order of the runs.';
COMMENT ON COLUMN maintenance_runs.started_at IS 'When it began.';
COMMENT ON COLUMN maintenance_runs.finished_at IS 'When it ended well; null: it runs, or was interrupted.';
COMMENT ON COLUMN maintenance_runs.step IS 'Step it is at, or ended with.';
COMMENT ON COLUMN maintenance_runs.refreshed IS 'Tiers refreshed.';
COMMENT ON COLUMN maintenance_runs.compressed IS 'Chunks compressed.';
COMMENT ON COLUMN maintenance_runs.dropped IS 'Chunks dropped.';
COMMENT ON COLUMN maintenance_runs.error IS 'Why it failed.';
