-- name: names
SELECT datname FROM pg_database WHERE starts_with(datname, %(prefix)s)

-- name: comment
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()

-- name: copy
COPY system_metrics (time, series_id, value) FROM STDIN (FORMAT binary)

-- name: states
INSERT INTO series_state (series_id, first_time, last_time, last_value)
SELECT series_id, first_time, %(last)s, value
FROM unnest(%(ids)s::integer[], %(first)s::timestamptz[], %(values)s::double precision[])
     AS given (series_id, first_time, value)
