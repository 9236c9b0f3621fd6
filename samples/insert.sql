-- name: insert
-- Stores the rows that are not stored yet. The caller sends rows in the order of their key: two concurrent batches
-- with the same keys wait for each other, and in different orders they would deadlock.
INSERT INTO system_metrics (series_id, time, value)
SELECT *
FROM unnest(%(series_ids)b::integer[], %(times)b::timestamptz[], %(values)b::double precision[])
ON CONFLICT DO NOTHING

-- name: insert_distributions
-- The same for distributions, whose samples are also counted in their buckets. Only rows that were really inserted
-- are counted, so that a repeated batch changes nothing.
WITH stored AS (
    INSERT INTO system_metrics (series_id, time, value)
    SELECT series_id, time, value
    FROM unnest(
        %(series_ids)b::integer[], %(times)b::timestamptz[], %(values)b::double precision[]
    ) AS given (series_id, time, value)
    ON CONFLICT DO NOTHING
    RETURNING series_id, time, value
), distributed AS (
    INSERT INTO system_distributions (series_id, time, log_bucket, count)
    SELECT series_id, time, log_bucket(value), 1
    FROM stored
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM stored

-- name: copy
COPY system_metrics (time, series_id, value) FROM STDIN (FORMAT binary)

-- part: keep_newest
-- Updates the newest sample of a series when other samples arrive.
ON CONFLICT (series_id) DO UPDATE
SET first_time = least(series_state.first_time, excluded.first_time),
    last_time = CASE WHEN excluded.last_time > series_state.last_time OR {gives_way}
                     THEN excluded.last_time ELSE series_state.last_time END,
    last_value = CASE WHEN excluded.last_time > series_state.last_time OR {gives_way}
                      THEN excluded.last_value ELSE series_state.last_value END,
    ahead_time = CASE WHEN {gives_way}
                      THEN greatest(series_state.ahead_time, series_state.last_time)
                      ELSE series_state.ahead_time END

-- part: gives_way
-- Whether the stored newest sample came from a wrong clock and is replaced by an older one: it is further ahead than
-- samples are accepted, and the new one is not. The sub-select is evaluated once, a bare now() + … for each row.
(excluded.last_time < series_state.last_time
 AND series_state.last_time > (SELECT now() + %(future)b::interval)
 AND excluded.last_time <= (SELECT now() + %(future)b::interval))

-- name: newest
-- The time of the newest sample of each series, in microseconds since 1970, in the order of their numbers. It counts
-- a sample from a wrong clock as well, because its row is still stored.
SELECT array_agg(
    coalesce((extract(epoch FROM greatest(s.last_time, s.ahead_time)) * 1000000)::bigint, 0) ORDER BY series_id
)
FROM unnest(%(series_ids)b::integer[]) given (series_id)
LEFT JOIN series_state s USING (series_id)

-- name: note
-- Updates each series' newest sample, and records late ranges for the maintenance. For duplicates it changes nothing.
-- Returns the minute under evaluation: it is read last (FROM waits for `state`), so that a doubtful sample counts as
-- late. Also returns the series' file and the token, which identify the database in the transaction that stores.
WITH given AS (
    SELECT *
    FROM unnest(
        %(series_ids)b::integer[], %(first_times)b::timestamptz[], %(last_times)b::timestamptz[],
        %(last_values)b::double precision[]
    ) AS given (series_id, first_time, last_time, last_value)
), state AS (
    INSERT INTO series_state (series_id, first_time, last_time, last_value)
    SELECT series_id, first_time, last_time, last_value
    FROM given
    {keep_newest}
    RETURNING series_id
), late AS (
    INSERT INTO late_ranges (start_time, end_time)
    SELECT min(first_time), max(last_time)
    FROM given
    WHERE first_time < (SELECT max(refreshed_to) FROM tiers WHERE source = 'raw')
    HAVING count(*) > 0
)
SELECT pg_sequence_last_value('alert_minute') AS begun_s,
       pg_relation_filenode('series')::bigint AS series_file,
       (SELECT token FROM replica_tokens WHERE replica = %(replica)s) AS token
FROM (SELECT count(*) FROM state) done

-- name: mark
SELECT NULL::bigint AS begun_s,
       pg_relation_filenode('series')::bigint AS series_file,
       (SELECT token FROM replica_tokens WHERE replica = %(replica)s) AS token

-- name: set_reasons
UPDATE series_state
SET reason = given.reason
FROM unnest(%(series_ids)s::integer[], %(times)s::timestamptz[], %(reasons)s::text[])
     AS given (series_id, time, reason)
WHERE series_state.series_id = given.series_id
  AND series_state.last_time = given.time
  AND series_state.reason <> given.reason

-- name: insert_histograms
-- Counts of values by bucket. A series has at most one histogram for a time, and a stored one is never changed. The
-- newest value of the series is the mean of its newest histogram.
WITH given AS (
    SELECT *
    FROM unnest(
        %(series_ids)b::integer[], %(times)b::timestamptz[], %(log_buckets)b::integer[], %(counts)b::bigint[]
    ) AS given (series_id, time, log_bucket, count)
), stored AS (
    INSERT INTO system_distributions (series_id, time, log_bucket, count)
    SELECT g.series_id, g.time, g.log_bucket, g.count
    FROM given g
    WHERE NOT EXISTS (
        SELECT FROM system_distributions d WHERE d.series_id = g.series_id AND d.time = g.time
    )
    ORDER BY g.series_id, g.time, g.log_bucket
    ON CONFLICT DO NOTHING
    RETURNING series_id, time, log_bucket, count
), histogram AS (
    SELECT series_id, time,
           sum(log_bucket_value(log_bucket) * (count / total)) AS mean
    FROM (SELECT *, sum(count) OVER (PARTITION BY series_id, time)::double precision AS total FROM stored) AS s
    GROUP BY series_id, time
), state AS (
    INSERT INTO series_state (series_id, first_time, last_time, last_value)
    SELECT series_id, min(time), max(time), last(mean, time)
    FROM histogram
    GROUP BY series_id
    ORDER BY series_id
    {keep_newest}
    RETURNING series_id
), late AS (
    INSERT INTO late_ranges (start_time, end_time)
    SELECT min(time), max(time)
    FROM stored
    WHERE time < (SELECT max(refreshed_to) FROM tiers WHERE source = 'distributions')
    HAVING count(*) > 0
)
SELECT accepted, pg_sequence_last_value('alert_minute') AS begun_s,
       pg_relation_filenode('series')::bigint AS series_file,
       (SELECT token FROM replica_tokens WHERE replica = %(replica)s) AS token
FROM (SELECT count(*) AS accepted FROM histogram) counted, (SELECT count(*) FROM state) done
