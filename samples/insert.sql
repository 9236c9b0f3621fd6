-- name: insert
-- Stores what is not there yet. Every batch comes in the order of its key: two that meet on the same samples
-- wait for each other, and would otherwise do so in a circle.
INSERT INTO system_metrics (series_id, time, value)
SELECT *
FROM unnest(%(series_ids)b::integer[], %(times)b::timestamptz[], %(values)b::double precision[])
ON CONFLICT DO NOTHING

-- name: insert_distributions
-- The same of distributions, whose samples are put into their buckets too: only those that were really
-- stored, so that the same batch sent again changes nothing.
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
-- What becomes of the newest sample of a series when other samples come.
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
-- Whether the newest sample so far is of a clock that was wrong: it is further in the future than samples are
-- accepted, and another one comes that is not. The sub-select is there to be computed once and not for each row.
(excluded.last_time < series_state.last_time
 AND series_state.last_time > (SELECT now() + %(future)b::interval)
 AND excluded.last_time <= (SELECT now() + %(future)b::interval))

-- name: newest
-- The time of the newest sample of each series, in microseconds since 1970, in the order of their numbers. One that
-- gave way is still there.
SELECT array_agg(
    coalesce((extract(epoch FROM greatest(s.last_time, s.ahead_time)) * 1000000)::bigint, 0) ORDER BY series_id
)
FROM unnest(%(series_ids)b::integer[]) given (series_id)
LEFT JOIN series_state s USING (series_id)

-- name: note
-- What a batch leaves to do: the newest sample of each series, and late samples. Of what was there already it
-- changes nothing: no sample is newer than the newest. Answers, as late as it can, which minute alerts look at, and
-- what tells this database from another one, in the very transaction that stores.
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
-- Counts of values by bucket. A series has one histogram at a time: one that is there stays whole. The
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
