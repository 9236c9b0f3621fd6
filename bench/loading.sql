-- name: names
SELECT datname FROM pg_database WHERE starts_with(datname, %(prefix)s)

-- name: stop_workers
SELECT _timescaledb_functions.stop_background_workers()

-- name: copy
COPY system_metrics (time, series_id, value) FROM STDIN (FORMAT binary)

-- name: states
INSERT INTO series_state (series_id, first_time, last_time, last_value)
SELECT series_id, %(first)s, %(last)s, value
FROM unnest(%(ids)s::integer[], %(values)s::double precision[]) AS given (series_id, value)
