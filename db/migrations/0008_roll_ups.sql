-- Roll-ups that answer for everything: the spread of the values, the rate of counters, and percentiles.
--
-- An aggregate cannot get a new column, so each tier is made anew. What its source still keeps is rolled
-- up again by the next maintenance; what is older is carried over, with a spread that is not known.

-- PostgreSQL's own way of putting moments together (Chan, Golub, LeVeque 1979): no difference of large
-- squares, so the spread survives large means.
CREATE AGGREGATE merge_moments(double precision[]) (
    SFUNC = float8_combine,
    STYPE = double precision[],
    INITCOND = '{0,0,0}',
    COMBINEFUNC = float8_combine,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE merge_moments(double precision[]) IS 'Puts {count, sum, m2} of parts together to that of the whole.';

-- What a counter lost by starting again: its value before each time that it fell.
CREATE FUNCTION counter_resets(p_values double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    total  double precision := 0;
    before double precision;
    value  double precision;
BEGIN
    FOREACH value IN ARRAY p_values LOOP
        IF value < before THEN
            total := total + before;
        END IF;
        before := value;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION counter_resets IS 'Sum of the values from which a counter started again; last - first + resets is its increase.';

-- The same over parts in their order: inside of them, and between one and the next.
CREATE FUNCTION counter_resets(p_firsts double precision[], p_lasts double precision[], p_resets double precision[])
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    total double precision := 0;
BEGIN
    FOR i IN 1 .. cardinality(p_firsts) LOOP
        total := total + p_resets[i] + CASE WHEN p_firsts[i] < p_lasts[i - 1] THEN p_lasts[i - 1] ELSE 0 END;
    END LOOP;
    RETURN total;
END
$$;
COMMENT ON FUNCTION counter_resets(double precision[], double precision[], double precision[])
    IS 'Resets of a counter over parts in their order.';

-- Bucket number of a value among buckets whose bounds grow by 2 %: the sketch of Masson, Rim and Lee
-- (DDSketch, VLDB 2019). Zero and what is closer to it than 1e-150 is bucket 0; negative values mirror the
-- positive ones; the numbers are in the order of the values.
CREATE FUNCTION log_bucket(p_value double precision) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN abs(p_value) < 1e-150 THEN 0
                ELSE sign(p_value) * (18000 + ceil(ln(abs(p_value)) / ln(1.02::double precision))) END::integer
$$;
COMMENT ON FUNCTION log_bucket IS 'Bucket of a value in system_distributions; its bounds grow by 2 percent.';

-- The value that is at most 1 % (0.02 / 2.02) from everything in a bucket.
CREATE FUNCTION log_bucket_value(p_bucket integer) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT sign(p_bucket) * 2 / 2.02 * power(1.02::double precision, abs(p_bucket) - 18000)
$$;
COMMENT ON FUNCTION log_bucket_value IS 'Value that stands for a bucket of system_distributions: at most 1 percent from all in it.';

DROP VIEW IF EXISTS metrics_1m, metrics_5m, metrics_1h, metrics_1d;
CREATE TEMPORARY TABLE old_roll_ups ON COMMIT DROP AS
SELECT tier.relation, source.dropped_to,
       format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name) AS rows
FROM tiers tier
JOIN tiers source ON source.name = tier.source
JOIN timescaledb_information.continuous_aggregates a ON a.view_name = tier.relation
WHERE tier.relation LIKE 'system_metrics_%' AND source.dropped_to > '-infinity';
ALTER MATERIALIZED VIEW system_metrics_1m RENAME TO old_metrics_1m;
ALTER MATERIALIZED VIEW system_metrics_5m RENAME TO old_metrics_5m;
ALTER MATERIALIZED VIEW system_metrics_1h RENAME TO old_metrics_1h;
ALTER MATERIALIZED VIEW system_metrics_1d RENAME TO old_metrics_1d;

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
       last(value, time) AS last,
       var_pop(value) * count(*) AS m2
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
       last(value, time) AS last,
       var_pop(value) * count(*) AS m2
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
       last(last, bucket) AS last,
       (merge_moments(ARRAY[count, sum, m2]))[3] AS m2
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
       last(last, bucket) AS last,
       (merge_moments(ARRAY[count, sum, m2]))[3] AS m2
FROM system_metrics_1h
GROUP BY series_id, time_bucket(interval '1 day', bucket)
WITH NO DATA;

DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT o.*, format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name) AS target
        FROM old_roll_ups o
        JOIN timescaledb_information.continuous_aggregates a ON a.view_name = o.relation
    LOOP
        EXECUTE format(
            'INSERT INTO %s (series_id, bucket, count, sum, min, max, first, last, m2)
             SELECT series_id, bucket, count, sum, min, max, first, last, ''NaN''
             FROM %s WHERE bucket < %L',
            old.target, old.rows, old.dropped_to);
        -- An aggregate shows no row behind what it was refreshed to. Where this may not be said here, what
        -- was carried over shows with the first refresh.
        BEGIN
            UPDATE _timescaledb_catalog.continuous_aggs_watermark
            SET watermark = _timescaledb_functions.to_unix_microseconds(old.dropped_to)
            FROM _timescaledb_catalog.hypertable h
            WHERE h.id = mat_hypertable_id
              AND format('%I.%I', h.schema_name, h.table_name) = old.target;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
    END LOOP;
END
$$;
DROP MATERIALIZED VIEW old_metrics_1d;
DROP MATERIALIZED VIEW old_metrics_1h;
DROP MATERIALIZED VIEW old_metrics_5m;
DROP MATERIALIZED VIEW old_metrics_1m;

-- Counters have roll-ups of their own, from which a rate is made: the others would pay for columns that
-- mean nothing to them.
CREATE MATERIALIZED VIEW system_counters_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '7 days') AS
SELECT m.series_id,
       time_bucket(interval '5 minutes', m.time) AS bucket,
       min(m.time) AS first_time,
       max(m.time) AS last_time,
       first(m.value, m.time) AS first,
       last(m.value, m.time) AS last,
       counter_resets(array_agg(m.value ORDER BY m.time)) AS resets
FROM system_metrics m
JOIN series s ON s.id = m.series_id
WHERE s.kind = 'counter'
GROUP BY m.series_id, time_bucket(interval '5 minutes', m.time)
WITH NO DATA;

CREATE MATERIALIZED VIEW system_counters_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '28 days') AS
SELECT series_id,
       time_bucket(interval '1 hour', bucket) AS bucket,
       min(first_time) AS first_time,
       max(last_time) AS last_time,
       first(first, bucket) AS first,
       last(last, bucket) AS last,
       counter_resets(array_agg(first ORDER BY bucket), array_agg(last ORDER BY bucket),
                      array_agg(resets ORDER BY bucket)) AS resets
FROM system_counters_5m
GROUP BY series_id, time_bucket(interval '1 hour', bucket)
WITH NO DATA;

CREATE MATERIALIZED VIEW system_counters_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '364 days') AS
SELECT series_id,
       time_bucket(interval '1 day', bucket) AS bucket,
       min(first_time) AS first_time,
       max(last_time) AS last_time,
       first(first, bucket) AS first,
       last(last, bucket) AS last,
       counter_resets(array_agg(first ORDER BY bucket), array_agg(last ORDER BY bucket),
                      array_agg(resets ORDER BY bucket)) AS resets
FROM system_counters_1h
GROUP BY series_id, time_bucket(interval '1 day', bucket)
WITH NO DATA;

-- Distributions: how many values fell into each bucket. Counts can be added over any time and any
-- series, so percentiles survive every roll-up.
CREATE TABLE system_distributions (
    series_id  integer NOT NULL,
    time       timestamptz NOT NULL,
    log_bucket integer NOT NULL,
    count      bigint NOT NULL,
    PRIMARY KEY (series_id, time, log_bucket)
);
COMMENT ON TABLE system_distributions IS 'Distributions: how many values of a series fell into each bucket at a time.';
COMMENT ON COLUMN system_distributions.series_id IS 'The series, of kind distribution.';
COMMENT ON COLUMN system_distributions.time IS 'When they were measured.';
COMMENT ON COLUMN system_distributions.log_bucket IS 'Bucket of the values; log_bucket_value tells the value.';
COMMENT ON COLUMN system_distributions.count IS 'Number of values in the bucket.';
SELECT create_hypertable(
    'system_distributions', by_range('time', interval '1 day'), create_default_indexes => false
);
CREATE INDEX system_distributions_time ON system_distributions (time);
ALTER TABLE system_distributions SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'series_id',
    timescaledb.compress_orderby = 'time DESC, log_bucket'
);

-- The samples that are there already.
INSERT INTO system_distributions (series_id, time, log_bucket, count)
SELECT m.series_id, m.time, log_bucket(m.value), 1
FROM system_metrics m
JOIN series s ON s.id = m.series_id
WHERE s.kind = 'distribution';

CREATE MATERIALIZED VIEW system_distributions_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '7 days') AS
SELECT series_id,
       time_bucket(interval '5 minutes', time) AS bucket,
       log_bucket,
       sum(count)::bigint AS count
FROM system_distributions
GROUP BY series_id, time_bucket(interval '5 minutes', time), log_bucket
WITH NO DATA;

CREATE MATERIALIZED VIEW system_distributions_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '28 days') AS
SELECT series_id,
       time_bucket(interval '1 hour', bucket) AS bucket,
       log_bucket,
       sum(count)::bigint AS count
FROM system_distributions_5m
GROUP BY series_id, time_bucket(interval '1 hour', bucket), log_bucket
WITH NO DATA;

CREATE MATERIALIZED VIEW system_distributions_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '364 days') AS
SELECT series_id,
       time_bucket(interval '1 day', bucket) AS bucket,
       log_bucket,
       sum(count)::bigint AS count
FROM system_distributions_1h
GROUP BY series_id, time_bucket(interval '1 day', bucket), log_bucket
WITH NO DATA;

DO $$
DECLARE
    tier text;
    item record;
BEGIN
    FOREACH tier IN ARRAY ARRAY['1m', '5m', '1h', '1d'] LOOP
        EXECUTE format(
            'ALTER MATERIALIZED VIEW system_metrics_%s SET (timescaledb.compress = true,
             timescaledb.compress_segmentby = ''series_id'', timescaledb.compress_orderby = ''bucket DESC'')', tier);
    END LOOP;
    FOREACH tier IN ARRAY ARRAY['5m', '1h', '1d'] LOOP
        EXECUTE format(
            'ALTER MATERIALIZED VIEW system_counters_%s SET (timescaledb.compress = true,
             timescaledb.compress_segmentby = ''series_id'', timescaledb.compress_orderby = ''bucket DESC'')', tier);
        EXECUTE format(
            'ALTER MATERIALIZED VIEW system_distributions_%s SET (timescaledb.compress = true,
             timescaledb.compress_segmentby = ''series_id'', timescaledb.compress_orderby = ''bucket DESC, log_bucket'')', tier);
    END LOOP;
    FOR item IN SELECT * FROM (VALUES
        ('system_metrics_1m', 'Samples by series and minute; the newest minutes are computed as they are read.'),
        ('system_metrics_5m', 'Samples by series and five minutes; the newest are computed as they are read.'),
        ('system_metrics_1h', 'Samples by series and hour; the newest are computed as they are read.'),
        ('system_metrics_1d', 'Samples by series and UTC day; the newest are computed as they are read.'),
        ('system_counters_5m', 'Counters by series and five minutes.'),
        ('system_counters_1h', 'Counters by series and hour.'),
        ('system_counters_1d', 'Counters by series and UTC day.'),
        ('system_distributions_5m', 'Distributions by series and five minutes.'),
        ('system_distributions_1h', 'Distributions by series and hour.'),
        ('system_distributions_1d', 'Distributions by series and UTC day.')
    ) AS described (name, text) LOOP
        EXECUTE format('COMMENT ON VIEW %I IS %L', item.name, item.text);
    END LOOP;
    FOR item IN
        SELECT c.relname AS view, a.attname AS name, described.text
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN (VALUES
            ('series_id', 'The series.'),
            ('bucket', 'Start of the bucket.'),
            ('count', 'Number of samples; of a distribution, of values in its log_bucket.'),
            ('sum', 'Sum of the values; sum / count is the mean.'),
            ('min', 'Smallest value.'),
            ('max', 'Largest value.'),
            ('first', 'Oldest value.'),
            ('last', 'Newest value.'),
            ('m2', 'Sum of the squared distances from the mean; sqrt(m2 / count) is the standard deviation. NaN: not known.'),
            ('first_time', 'Time of the oldest value.'),
            ('last_time', 'Time of the newest value.'),
            ('resets', 'Sum of the values from which the counter started again; last - first + resets is its increase.'),
            ('log_bucket', 'Bucket of the values; log_bucket_value tells the value.')
        ) AS described (name, text) ON described.name = a.attname
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v'
          AND c.relname ~ '^system_(metrics|counters|distributions)_(1m|5m|1h|1d)$'
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.view, item.name, item.text);
    END LOOP;
END
$$;

UPDATE tiers SET refreshed_to = '-infinity' WHERE relation LIKE 'system_metrics_%';
INSERT INTO tiers (name, relation, source, width, position) VALUES
    ('counters_5m', 'system_counters_5m', 'raw', '5 minutes', 7),
    ('counters_1h', 'system_counters_1h', 'counters_5m', '1 hour', 8),
    ('counters_1d', 'system_counters_1d', 'counters_1h', '1 day', 9),
    ('distributions', 'system_distributions', NULL, '0', 10),
    ('distributions_5m', 'system_distributions_5m', 'distributions', '5 minutes', 11),
    ('distributions_1h', 'system_distributions_1h', 'distributions_5m', '1 hour', 12),
    ('distributions_1d', 'system_distributions_1d', 'distributions_1h', '1 day', 13);

-- The views above are made anew with all other routines.
DELETE FROM schema_migrations WHERE version = 0;
