-- part: observed
-- Each needed aggregate at each instant: a minute counts for every instant in whose window it lies. A sweep is of
-- one instant, and reads all series of a few minutes at once, which suits many rules; else each is looked up.
observed AS MATERIALIZED (
    SELECT m.series_id, m.window_s, m.shift_s, 'minutes' AS source, m.at,
           ARRAY[sum(m.sum) / sum(m.count), min(m.min), max(m.max), sum(m.sum), sum(m.count)::double precision,
                 first(m.first, m.bucket), last(m.last, m.bucket),
                 sqrt((merge_moments(ARRAY[m.count::double precision, m.sum, m.m2]))[3] / sum(m.count)::double precision)
           ]::double precision[] AS aggregates
    FROM (
        SELECT n.series_id, n.window_s, n.shift_s, %(start)s::timestamptz AS at,
               m.bucket, m.count, m.sum, m.min, m.max, m.first, m.last, m.m2
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id
        WHERE %(sweep)s::boolean AND n.source = 'minutes' AND n.reach <= interval '10 minutes'
          AND m.bucket >= %(start)s::timestamptz - interval '10 minutes' AND m.bucket < %(end)s::timestamptz
          AND m.bucket >= %(start)s::timestamptz - (SELECT max(reach) FROM needed WHERE reach <= interval '10 minutes')
          AND m.bucket >= %(start)s::timestamptz - n.reach AND m.bucket < %(start)s::timestamptz - n.shift
        UNION ALL
        SELECT n.series_id, n.window_s, n.shift_s, i.at, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.min, m.max, m.first, m.last, m.m2
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id
              AND m.bucket >= %(start)s::timestamptz - n.reach AND m.bucket < %(end)s::timestamptz - n.shift
            OFFSET 0
        ) m
        CROSS JOIN LATERAL generate_series(
            greatest(m.bucket + interval '1 minute' + n.shift, %(start)s::timestamptz),
            least(m.bucket + n.length + n.shift, %(end)s::timestamptz), interval '1 minute'
        ) i (at)
        WHERE n.source = 'minutes' AND NOT (%(sweep)s::boolean AND n.reach <= interval '10 minutes')
    ) m
    GROUP BY m.series_id, m.window_s, m.shift_s, m.at
    UNION ALL
    SELECT n.series_id, n.window_s, n.shift_s, n.source, i.at,
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
          AND m.time >= %(start)s::timestamptz - n.reach AND m.time < %(end)s::timestamptz - n.shift
        OFFSET 0
    ) m
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, %(start)s::timestamptz),
        least(m.time + n.length + n.shift, %(end)s::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'samples'
    GROUP BY n.series_id, n.window_s, n.shift_s, n.source, i.at
    UNION ALL
    SELECT n.series_id, n.window_s, n.shift_s, n.source, i.at,
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
          AND m.time >= %(start)s::timestamptz - n.reach AND m.time < %(end)s::timestamptz - n.shift
        OFFSET 0
    ) m
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, %(start)s::timestamptz),
        least(m.time + n.length + n.shift, %(end)s::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'distributions'
    GROUP BY n.series_id, n.window_s, n.shift_s, n.source, i.at
)
