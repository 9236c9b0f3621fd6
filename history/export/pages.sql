-- name: extents
-- The times of the first and the last sample of each series.
SELECT series_id, first_time, greatest(last_time, ahead_time) AS last_time
FROM series_state
WHERE series_id = ANY (%(series_ids)s::integer[])

-- name: lines
-- Samples of one series as lines of text. PostgreSQL formats numbers and times as exactly as Python and several times
-- faster, and the event loop is free meanwhile. Only -0 needs care: as an integer in JSON it would lose its sign. All
-- times have six decimals, because some readers infer the format of all times from the first one.
SELECT count(*) AS rows, max(time) AS last,
       convert_to(
           coalesce(string_agg(
               %(head)s::text || to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')
                   || %(middle)s::text || CASE WHEN value = 0 AND value::text = '-0' THEN '-0.0' ELSE value::text END
                   || %(tail)s::text,
               '' ORDER BY time), ''),
           'UTF8') AS body
FROM (
    SELECT time, value
    FROM system_metrics
    WHERE series_id = %(series_id)s AND time >= %(start)s AND time < %(end)s
    ORDER BY time
    LIMIT %(rows_max)s
) AS page

-- name: columns
-- Samples of one series as two columns in PostgreSQL's binary format: big-endian, times in microseconds since 2000.
SELECT count(*) AS rows, max(time) AS last,
       coalesce(string_agg(timestamptz_send(time), '' ORDER BY time), '') AS times,
       coalesce(string_agg(float8send(value), '' ORDER BY time), '') AS values
FROM (
    SELECT time, value
    FROM system_metrics
    WHERE series_id = %(series_id)s AND time >= %(start)s AND time < %(end)s
    ORDER BY time
    LIMIT %(rows_max)s
) AS page
