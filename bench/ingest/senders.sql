-- name: tables
-- Hypertables like system_metrics, for the senders that store without Vigia.
CREATE TABLE bench_copy (LIKE system_metrics INCLUDING ALL);
CREATE TABLE bench_unnest (LIKE system_metrics INCLUDING ALL);
SELECT create_hypertable(
    own.relation, by_range('time', like_it.time_interval), create_default_indexes => false
)
FROM (VALUES ('bench_copy'::regclass), ('bench_unnest'::regclass)) AS own (relation),
     timescaledb_information.dimensions AS like_it
WHERE like_it.hypertable_name = 'system_metrics';
ALTER TABLE bench_copy SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time DESC'
);
ALTER TABLE bench_unnest SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'time DESC'
);

-- name: copy
COPY bench_copy (time, series_id, value) FROM STDIN (FORMAT binary)

-- name: unnest
INSERT INTO bench_unnest (series_id, time, value)
SELECT series_id, time, value
FROM unnest(
    %(series_ids)b::integer[], %(times)b::timestamptz[], %(values)b::double precision[]
) AS given (series_id, time, value)
ON CONFLICT DO NOTHING

-- name: stored
-- The key is unique, so that each counted sample is stored once.
SELECT count(*), sum(value), extract(epoch FROM max(time))
FROM system_metrics
WHERE series_id IN (SELECT id FROM series WHERE component = %(component)s)

-- name: copied
SELECT count(*), sum(value), extract(epoch FROM max(time))
FROM bench_copy
WHERE series_id >= %(first)s AND series_id < 2 * %(first)s

-- name: inserted
SELECT count(*), sum(value), extract(epoch FROM max(time))
FROM bench_unnest
WHERE series_id >= %(first)s AND series_id < 2 * %(first)s

-- name: checkpoint
CHECKPOINT
