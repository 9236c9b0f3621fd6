-- part: positions
-- The position of each aggregate in every array of aggregates. Aggregates that a source does not compute are null, or
-- are left out at the end.
ARRAY['avg', 'min', 'max', 'sum', 'count', 'first', 'last', 'stddev', 'rate',
'p50', 'p90', 'p95', 'p99']

-- part: instants
-- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
CROSS JOIN LATERAL generate_series(
    greatest({minute} + interval '1 minute' + n.shift, %(start)s::timestamptz),
    least({time} + n.length + n.shift, %(end)s::timestamptz), interval '1 minute'
) i (at)

-- part: minutes.minute
m.bucket

-- part: minutes.time
m.bucket

-- part: samples.minute
date_trunc('minute', m.time)

-- part: samples.time
m.time

-- part: of_minutes
-- Reads the 1m tier. A swept input, of one instant and a few minutes, is read in one scan over all series, which is
-- fastest for many rules. Every other input is read by an index lookup of its series. A minute counts for every instant
-- whose window contains it.
SELECT m.input_id, m.at, {aggregates}::double precision[] AS aggregates
FROM (
    SELECT n.id AS input_id, %(start)s::timestamptz AS at, {columns}
    FROM system_metrics_1m m
    JOIN needed n ON n.series_id = m.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
    WHERE n.is_swept AND n.source = {source}
      AND EXISTS (SELECT FROM needed WHERE is_swept AND source = {source})
      AND m.bucket >= %(swept_from)s::timestamptz AND m.bucket < %(end)s::timestamptz
      AND m.bucket >= (SELECT min(start_at) FROM needed WHERE is_swept AND source = {source})
    UNION ALL
    SELECT n.id, i.at, m.*
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT {columns}
        FROM system_metrics_1m m
        WHERE m.series_id = n.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
        OFFSET 0
    ) m
    {instants}
    WHERE n.source = {source} AND NOT n.is_swept
) m
GROUP BY m.input_id, m.at

-- part: basic_aggregates.source
'basic_aggregates'

-- part: basic_aggregates.columns
m.bucket, m.count, m.sum, m.min, m.max

-- part: basic_aggregates.aggregates
ARRAY[sum(m.sum) / sum(m.count::double precision), min(m.min), max(m.max), sum(m.sum),
sum(m.count::double precision)]

-- part: extended_aggregates.source
'extended_aggregates'

-- part: extended_aggregates.columns
m.bucket, m.count, m.sum, m.m2, m.first, m.last

-- part: extended_aggregates.aggregates
array_fill(NULL::double precision, ARRAY[5]) || ARRAY[first(m.first, m.bucket), last(m.last, m.bucket),
    stddev_of((merge_moments(ARRAY[m.count::double precision, m.sum, m.m2]))[3], sum(m.count::double precision))]

-- part: window_aggregates
-- Each needed aggregate at each instant, in the order of `positions`. Basic and extended aggregates are separate,
-- because first, last and stddev cost as much as all others together, and few rules use them.
window_aggregates AS MATERIALIZED (
    {basic_aggregates}
    UNION ALL
    {extended_aggregates}
    UNION ALL
    SELECT n.id, i.at,
           ARRAY[avg(m.value), min(m.value), max(m.value), sum(m.value), count(*)::double precision,
                 first(m.value, m.time), last(m.value, m.time), stddev_pop(m.value),
                 (last(m.value, m.time) - first(m.value, m.time) + counter_resets(array_agg(m.value ORDER BY m.time)))
                 / nullif(extract(epoch FROM max(m.time) - min(m.time)), 0)::double precision
           ] || percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value)
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.value
        FROM system_metrics m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    {instants}
    WHERE n.source = 'samples'
    GROUP BY n.id, i.at
    UNION ALL
    SELECT n.id, i.at,
           array_fill(NULL::double precision, ARRAY[9])
           || percentile(0.5, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.9, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.95, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.99, array_agg(m.log_bucket), array_agg(m.count))
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.log_bucket, m.count
        FROM system_distributions m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    {instants}
    WHERE n.source = 'distributions'
    GROUP BY n.id, i.at
)
