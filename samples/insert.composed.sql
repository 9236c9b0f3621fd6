-- The statements of samples/insert.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i samples/insert.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :counts, the service binds as a parameter.

\set counts 'ARRAY(SELECT 1 FROM series ORDER BY id LIMIT 3)'
\set first_times 'ARRAY(SELECT now() FROM series ORDER BY id LIMIT 3)'
\set future 'interval ''10 minutes'''
\set last_times 'ARRAY(SELECT now() FROM series ORDER BY id LIMIT 3)'
\set last_values 'ARRAY(SELECT 7.0 FROM series ORDER BY id LIMIT 3)'
\set log_buckets 'ARRAY(SELECT 18000 FROM series ORDER BY id LIMIT 3)'
\set replica 'NULL::uuid'
\set series_ids 'ARRAY(SELECT id FROM series ORDER BY id LIMIT 3)'
\set times 'ARRAY(SELECT now() FROM series ORDER BY id LIMIT 3)'

BEGIN;

-- NOTE
-- Updates each series' newest sample, and records late ranges for the maintenance. For duplicates it changes nothing.
-- Returns the minute under evaluation: it is read last (FROM waits for `state`), so that a doubtful sample counts as
-- late. Also returns the series' file and the token, which identify the database in the transaction that stores.
WITH given AS (
    SELECT *
    FROM unnest(
        :series_ids::integer[], :first_times::timestamptz[], :last_times::timestamptz[],
        :last_values::double precision[]
    ) AS given (series_id, first_time, last_time, last_value)
), state AS (
    INSERT INTO series_state (series_id, first_time, last_time, last_value)
    SELECT series_id, first_time, last_time, last_value
    FROM given
    -- Updates the newest sample of a series when other samples arrive.
    ON CONFLICT (series_id) DO UPDATE
    SET first_time = least(series_state.first_time, excluded.first_time),
        last_time = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                         THEN excluded.last_time ELSE series_state.last_time END,
        last_value = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN excluded.last_value ELSE series_state.last_value END,
        ahead_time = CASE WHEN (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN greatest(series_state.ahead_time, series_state.last_time)
                          ELSE series_state.ahead_time END
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
       (SELECT token FROM replica_tokens WHERE replica = :replica) AS token
FROM (SELECT count(*) FROM state) done;

-- INSERT_HISTOGRAMS
-- Counts of values by bucket. A series has at most one histogram for a time, and a stored one is never changed. The
-- newest value of the series is the mean of its newest histogram.
WITH given AS (
    SELECT *
    FROM unnest(
        :series_ids::integer[], :times::timestamptz[], :log_buckets::integer[], :counts::bigint[]
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
    -- Updates the newest sample of a series when other samples arrive.
    ON CONFLICT (series_id) DO UPDATE
    SET first_time = least(series_state.first_time, excluded.first_time),
        last_time = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                         THEN excluded.last_time ELSE series_state.last_time END,
        last_value = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN excluded.last_value ELSE series_state.last_value END,
        ahead_time = CASE WHEN (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN greatest(series_state.ahead_time, series_state.last_time)
                          ELSE series_state.ahead_time END
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
       (SELECT token FROM replica_tokens WHERE replica = :replica) AS token
FROM (SELECT count(*) AS accepted FROM histogram) counted, (SELECT count(*) FROM state) done;

ROLLBACK;
