-- name: series_and_tiers
-- The series that a query selects, and from when on each tier is kept. A selector compares a label with a set of
-- values; a missing label counts as empty. `parts` are the series with the count and the sum of a histogram, whose
-- buckets are stored as the distribution itself.
SELECT json_build_object(
    'tiers', (
        SELECT json_agg(json_build_object(
            'relation', relation,
            'width_s', extract(epoch FROM width)::integer,
            'kept_from', nullif(dropped_to, '-infinity'),
            'refreshed_to', nullif(refreshed_to, '-infinity')
        ) ORDER BY position)
        FROM tiers
        WHERE relation ~ '^system_'
    ),
    'choices', (
        SELECT json_agg(json_build_array(family, relation, nullif(answers_from, '-infinity')) ORDER BY place)
        FROM tier_choices()
    ),
    'series', (
        SELECT coalesce(json_agg(found ORDER BY metric, component, labels), '[]')
        FROM (
            SELECT s.id, s.metric, s.component, s.category, s.labels, s.unit, s.kind, s.resolution,
                   CASE WHEN s.kind = 'distribution' THEN (
                       SELECT coalesce(json_agg(json_build_object(
                           'id', p.id,
                           'what', CASE WHEN p.metric = s.metric || '_sum' THEN 'sum' ELSE 'count' END,
                           'kind', p.kind
                       )), '[]')
                       FROM series p
                       WHERE p.metric IN (s.metric || '_count', s.metric || '_sum')
                         AND p.component = s.component
                         AND (p.kind, p.labels) IN (
                             ('counter', s.labels),
                             ('gauge', s.labels || '{"temporality": "delta"}')
                         )
                   ) ELSE '[]' END AS parts
            FROM series s
            WHERE s.metric = ANY (%(metrics)s::text[])
              AND (%(component)s::text IS NULL OR s.component = %(component)s)
              AND NOT EXISTS (
                  SELECT
                  FROM jsonb_to_recordset(%(selectors)s::jsonb) AS given (label text, negated boolean, one_of jsonb)
                  WHERE (given.one_of ? coalesce(s.labels ->> given.label, '')) = given.negated
              )
            ORDER BY s.metric, s.component, s.labels
            LIMIT %(limit)s
        ) AS found
    )
)::text

-- name: label_values
-- The values of a label among the series of some metrics, against which patterns are matched.
SELECT DISTINCT coalesce(labels ->> %(label)s::text, '') AS value
FROM series
WHERE metric = ANY (%(metrics)s::text[])
  AND (%(component)s::text IS NULL OR component = %(component)s)
LIMIT %(limit)s

-- name: columns
-- The rows of one of the queries below as a few long arrays, which are transferred several times faster than rows.
SELECT who, array_agg(slot), {arrays}
FROM (
    {rows}
) AS bucket
GROUP BY who

-- name: plain
-- Buckets of a tier, unchanged.
SELECT r.series_id AS who, (date_part('epoch', r.bucket - %(start)s) / %(step_s)s)::integer AS slot,
       {columns}
FROM {relation} r
WHERE r.series_id = ANY (%(series_ids)s) AND r.bucket >= %(start)s AND r.bucket < %(end)s

-- name: fold
-- Buckets of a tier combined to the buckets of the query. Aggregates come from counts, sums and extremes, never from
-- averages.
SELECT {who} AS who, {index} AS slot,
       {columns}
FROM {source}
WHERE r.series_id = ANY (%(series_ids)s) AND r.{time} >= %(start)s AND r.{time} < %(end)s
GROUP BY {who}, {slot}

-- name: percentiles
-- 1. added   Sums the counts of each sketch bucket over time and series.
-- 2. ranked  Numbers the values: `up_to` is the count up to each sketch bucket.
-- 3. The columns interpolate between the two values around the rank of a percentile.
WITH added AS (
    SELECT {who} AS who, {index} AS slot, r.log_bucket, sum(r.count)::double precision AS count
    FROM {source}
    WHERE r.series_id = ANY (%(series_ids)s) AND r.{time} >= %(start)s AND r.{time} < %(end)s
    GROUP BY {who}, {slot}, r.log_bucket
), ranked AS (
    SELECT who, slot, log_bucket,
           sum(count) OVER (PARTITION BY who, slot ORDER BY log_bucket) AS up_to,
           sum(count) OVER (PARTITION BY who, slot) - 1 AS last_rank
    FROM added
)
SELECT who, slot,
       {columns}
FROM ranked
GROUP BY who, slot, last_rank

-- name: rates
-- The increase of counters divided by the time it took, from each sample to the next. The sample before a bucket counts
-- if it lies in the previous bucket. rate() in db/routines/functions.sql computes the same for SQL users.
WITH part AS (
    SELECT {who} AS who, r.series_id, {index} AS slot, {parts}
    FROM {source}
    WHERE r.series_id = ANY (%(series_ids)s) AND r.{time} >= %(before)s AND r.{time} < %(end)s
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
       {columns}
FROM rate
GROUP BY who, slot

-- part: who.series
r.series_id

-- part: who.group
g.who

-- part: source.series
{relation} r

-- part: source.group
{relation} r
JOIN unnest(%(series_ids)s, %(groups)s) AS g (series_id, who) ON g.series_id = r.series_id

-- part: slot.step
time_bucket(%(step)s, r.{time}, %(start)s)

-- part: index.step
(date_part('epoch', time_bucket(%(step)s, r.{time}, %(start)s) - %(start)s) / %(step_s)s)::integer

-- part: slot.edges
width_bucket(r.{time}, %(edges)s::timestamptz[])

-- part: index.edges
width_bucket(r.{time}, %(edges)s::timestamptz[]) - 2

-- part: samples.count
count(*)

-- part: samples.avg
avg(r.value)

-- part: samples.min
min(r.value)

-- part: samples.max
max(r.value)

-- part: samples.sum
sum(r.value)

-- part: samples.first
first(r.value, r.time)

-- part: samples.last
last(r.value, r.time)

-- part: samples.stddev
stddev_pop(r.value)

-- part: samples.p50
percentile_cont(0.5) WITHIN GROUP (ORDER BY r.value)

-- part: samples.p90
percentile_cont(0.9) WITHIN GROUP (ORDER BY r.value)

-- part: samples.p95
percentile_cont(0.95) WITHIN GROUP (ORDER BY r.value)

-- part: samples.p99
percentile_cont(0.99) WITHIN GROUP (ORDER BY r.value)

-- part: plain.count
r.count

-- part: plain.avg
r.sum / r.count

-- part: plain.min
r.min

-- part: plain.max
r.max

-- part: plain.sum
r.sum

-- part: plain.first
r.first

-- part: plain.last
r.last

-- part: plain.stddev
stddev_of(r.m2, r.count)

-- part: buckets.count
sum(r.count)::bigint

-- part: buckets.avg
sum(r.sum) / sum(r.count)::double precision

-- part: buckets.min
min(r.min)

-- part: buckets.max
max(r.max)

-- part: buckets.sum
sum(r.sum)

-- part: buckets.first
first(r.first, r.bucket)

-- part: buckets.last
last(r.last, r.bucket)

-- part: buckets.stddev
stddev_of((merge_moments(ARRAY[r.count, r.sum, r.m2]))[3], sum(r.count)::double precision)

-- part: sketch.p50
log_quantile(
    0.5 * last_rank,
    min(log_bucket) FILTER (WHERE up_to > floor(0.5 * last_rank)),
    min(log_bucket) FILTER (WHERE up_to > ceil(0.5 * last_rank)))

-- part: sketch.p90
log_quantile(
    0.9 * last_rank,
    min(log_bucket) FILTER (WHERE up_to > floor(0.9 * last_rank)),
    min(log_bucket) FILTER (WHERE up_to > ceil(0.9 * last_rank)))

-- part: sketch.p95
log_quantile(
    0.95 * last_rank,
    min(log_bucket) FILTER (WHERE up_to > floor(0.95 * last_rank)),
    min(log_bucket) FILTER (WHERE up_to > ceil(0.95 * last_rank)))

-- part: sketch.p99
log_quantile(
    0.99 * last_rank,
    min(log_bucket) FILTER (WHERE up_to > floor(0.99 * last_rank)),
    min(log_bucket) FILTER (WHERE up_to > ceil(0.99 * last_rank)))

-- part: sketch.min
log_bucket_value(min(log_bucket))

-- part: sketch.max
log_bucket_value(max(log_bucket))

-- part: parts.time
r.time AS first_time, r.time AS last_time, r.value AS first, r.value AS last, 0 AS resets

-- part: parts.bucket
r.first_time, r.last_time, r.first, r.last, r.resets

-- part: counter.rate
sum(rate)

-- part: counter.increase
sum(increase)
