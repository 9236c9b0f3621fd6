-- The statements of history/reader.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i history/reader.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :before, the service binds as a parameter.

\set before '(date_trunc(''minute'', now()) - interval ''65 minutes'')'
\set edges 'ARRAY[date_trunc(''minute'', now()) - interval ''2 days'', date_trunc(''minute'', now()) - interval ''1 day'', date_trunc(''minute'', now())]'
\set end 'date_trunc(''minute'', now())'
\set groups 'ARRAY(SELECT 1 FROM series ORDER BY id LIMIT 3)'
\set series_ids 'ARRAY(SELECT id FROM series ORDER BY id LIMIT 3)'
\set start '(date_trunc(''minute'', now()) - interval ''1 hour'')'
\set step 'interval ''5 minutes'''
\set step_s '300'

BEGIN;

-- PLAIN
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), array_agg(count), array_agg(avg), array_agg(stddev)
FROM (
    -- Buckets of a tier, unchanged.
    SELECT r.series_id AS who, (date_part('epoch', r.bucket - :start) / :step_s)::integer AS slot,
           r.count AS count,
           r.sum / r.count AS avg,
           stddev_of(r.m2, r.count) AS stddev
    FROM system_metrics_5m r
    WHERE r.series_id = ANY (:series_ids) AND r.bucket >= :start AND r.bucket < :end
) AS bucket
GROUP BY who;

-- FOLD of samples
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), array_agg(count), array_agg(avg), array_agg(stddev)
FROM (
    -- Buckets of a tier combined to the buckets of the query. Aggregates come from counts, sums and extremes, never from
    -- averages.
    SELECT r.series_id AS who, (date_part('epoch', time_bucket(:step, r.time, :start) - :start) / :step_s)::integer AS slot,
           count(*) AS count,
           avg(r.value) AS avg,
           stddev_pop(r.value) AS stddev
    FROM system_metrics r
    WHERE r.series_id = ANY (:series_ids) AND r.time >= :start AND r.time < :end
    GROUP BY r.series_id, time_bucket(:step, r.time, :start)
) AS bucket
GROUP BY who;

-- FOLD of days, in groups
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), array_agg(count), array_agg(avg), array_agg(stddev)
FROM (
    -- Buckets of a tier combined to the buckets of the query. Aggregates come from counts, sums and extremes, never from
    -- averages.
    SELECT g.who AS who, width_bucket(r.bucket, :edges::timestamptz[]) - 2 AS slot,
           sum(r.count)::bigint AS count,
           sum(r.sum) / sum(r.count)::double precision AS avg,
           stddev_of((merge_moments(ARRAY[r.count, r.sum, r.m2]))[3], sum(r.count)::double precision) AS stddev
    FROM system_metrics_1h r
        JOIN unnest(:series_ids, :groups) AS g (series_id, who) ON g.series_id = r.series_id
    WHERE r.series_id = ANY (:series_ids) AND r.bucket >= :start AND r.bucket < :end
    GROUP BY g.who, width_bucket(r.bucket, :edges::timestamptz[])
) AS bucket
GROUP BY who;

-- PERCENTILES
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), array_agg(p50), array_agg(p99)
FROM (
    -- 1. added   Sums the counts of each sketch bucket over time and series.
    -- 2. ranked  Numbers the values: `up_to` is the count up to each sketch bucket.
    -- 3. The columns interpolate between the two values around the rank of a percentile.
    WITH added AS (
        SELECT r.series_id AS who, (date_part('epoch', time_bucket(:step, r.bucket, :start) - :start) / :step_s)::integer AS slot, r.log_bucket, sum(r.count)::double precision AS count
        FROM system_distributions_5m r
        WHERE r.series_id = ANY (:series_ids) AND r.bucket >= :start AND r.bucket < :end
        GROUP BY r.series_id, time_bucket(:step, r.bucket, :start), r.log_bucket
    ), ranked AS (
        SELECT who, slot, log_bucket,
               sum(count) OVER (PARTITION BY who, slot ORDER BY log_bucket) AS up_to,
               sum(count) OVER (PARTITION BY who, slot) - 1 AS last_rank
        FROM added
    )
    SELECT who, slot,
           log_quantile(
               0.5 * last_rank,
               min(log_bucket) FILTER (WHERE up_to > floor(0.5 * last_rank)),
               min(log_bucket) FILTER (WHERE up_to > ceil(0.5 * last_rank))) AS p50,
           log_quantile(
               0.99 * last_rank,
               min(log_bucket) FILTER (WHERE up_to > floor(0.99 * last_rank)),
               min(log_bucket) FILTER (WHERE up_to > ceil(0.99 * last_rank))) AS p99
    FROM ranked
    GROUP BY who, slot, last_rank
) AS bucket
GROUP BY who;

-- RATES
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), array_agg(rate), array_agg(increase)
FROM (
    -- The increase of counters divided by the time it took, from each sample to the next. The sample before a bucket counts
    -- if it lies in the previous bucket. rate() in db/routines/functions.sql computes the same for SQL users.
    WITH part AS (
        SELECT r.series_id AS who, r.series_id, (date_part('epoch', time_bucket(:step, r.bucket, :start) - :start) / :step_s)::integer AS slot, r.first_time, r.last_time, r.first, r.last, r.resets
        FROM system_counters_5m r
        WHERE r.series_id = ANY (:series_ids) AND r.bucket >= :before AND r.bucket < :end
    ), pair AS (
        SELECT *,
               lag(last) OVER earlier AS last_before,
               lag(last_time) OVER earlier AS time_before,
               lag(slot) OVER earlier >= slot - 1 AS is_near
        FROM part
        WINDOW earlier AS (PARTITION BY series_id ORDER BY first_time)
    ), moved AS (
        SELECT who, series_id, slot,
               counter_increase(first, last, resets, last_before, is_near) AS increase,
               counter_seconds(first_time, last_time, time_before, is_near) AS seconds
        FROM pair
        WHERE slot >= 0
    ), rate AS (
        SELECT who, series_id, slot, sum(increase) AS increase,
               sum(increase) / nullif(sum(seconds), 0)::double precision AS rate
        FROM moved
        GROUP BY who, series_id, slot
    )
    SELECT who, slot,
           sum(rate) AS rate,
           sum(increase) AS increase
    FROM rate
    GROUP BY who, slot
) AS bucket
GROUP BY who;

ROLLBACK;
