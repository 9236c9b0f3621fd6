-- What the API and analysts both ask, so that there is one answer.

-- Buckets of some series from one tier. A tier is read as it is, or folded into wider buckets from its
-- counts and sums; nothing is averaged twice.
CREATE OR REPLACE FUNCTION history_buckets(
    p_tier text, p_series integer[], p_start timestamptz, p_end timestamptz, p_step interval
) RETURNS TABLE (
    series_id integer, bucket timestamptz, count bigint, sum double precision,
    min double precision, max double precision, first double precision, last double precision
)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_tier = 'raw' THEN
        RETURN QUERY
        SELECT m.series_id, time_bucket(p_step, m.time, timestamptz 'epoch'), count(*), sum(m.value),
               min(m.value), max(m.value), first(m.value, m.time), last(m.value, m.time)
        FROM system_metrics m
        WHERE m.series_id = ANY (p_series) AND m.time >= p_start AND m.time < p_end
        GROUP BY 1, 2;
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT r.series_id, time_bucket($4, r.bucket, timestamptz ''epoch''), sum(r.count)::bigint,
                sum(r.sum), min(r.min), max(r.max), first(r.first, r.bucket), last(r.last, r.bucket)
         FROM %I r
         WHERE r.series_id = ANY ($1) AND r.bucket >= $2 AND r.bucket < $3
         GROUP BY 1, 2',
        (SELECT relation FROM tiers WHERE name = p_tier)
    ) USING p_series, p_start, p_end, p_step;
END
$$;
COMMENT ON FUNCTION history_buckets IS 'Buckets of some series from one tier; start and end are whole buckets.';

-- The coarsest tier that can be folded into the step without loss and still has the start; if none has
-- it, the one that reaches back furthest.
CREATE OR REPLACE FUNCTION history_tier(p_start timestamptz, p_step interval) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT name
    FROM tiers
    WHERE relation LIKE 'system_metrics%'
      AND (source IS NULL OR mod(extract(epoch FROM p_step), extract(epoch FROM width)) = 0)
    ORDER BY dropped_to <= p_start DESC,
             CASE WHEN dropped_to > p_start THEN dropped_to END,
             width DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION history_tier IS 'Tier that answers for a start and a step.';

CREATE OR REPLACE FUNCTION history(
    p_metric text, p_start timestamptz, p_end timestamptz, p_step interval, p_component text DEFAULT NULL
) RETURNS TABLE (
    "time" timestamptz, component text, labels jsonb, avg double precision, min double precision,
    max double precision, sum double precision, count bigint
)
LANGUAGE sql STABLE AS $$
    SELECT b.bucket, s.component, s.labels, b.sum / b.count, b.min, b.max, b.sum, b.count
    FROM history_buckets(
        history_tier(p_start, p_step),
        (SELECT array_agg(id) FROM series
         WHERE metric = p_metric AND (p_component IS NULL OR series.component = p_component)),
        time_bucket(p_step, p_start, timestamptz 'epoch'), p_end, p_step
    ) AS b
    JOIN series s ON s.id = b.series_id
    ORDER BY s.component, s.labels, b.bucket
$$;
COMMENT ON FUNCTION history IS 'History of a metric in buckets of a step, from the tier that fits; the end is exclusive.';

-- Whole hours come from the aggregate, the hours at both ends from the checks themselves.
CREATE OR REPLACE FUNCTION uptime(p_component text, p_start timestamptz, p_end timestamptz)
RETURNS TABLE (up_s double precision, down_s double precision, availability double precision)
LANGUAGE sql STABLE AS $$
    WITH edge AS (
        SELECT least(p_end, time_bucket(interval '1 hour', p_start + interval '1 hour' - interval '1 microsecond')) AS first_hour,
               greatest(p_start, time_bucket(interval '1 hour', p_end)) AS last_hour
    ), part AS (
        SELECT coalesce(healthy_s, 0) + coalesce(warning_s, 0) + coalesce(critical_s, 0) AS up_s,
               coalesce(down_s, 0) AS down_s
        FROM component_uptime_1h, edge
        WHERE component = p_component AND bucket >= first_hour AND bucket < last_hour
        UNION ALL
        SELECT CASE WHEN status <> 'down' THEN stands_for_s ELSE 0 END,
               CASE WHEN status = 'down' THEN stands_for_s ELSE 0 END
        FROM component_checks, edge
        WHERE component = p_component AND time >= p_start AND time < p_end
          AND (time < first_hour OR time >= last_hour)
    ), total AS (
        SELECT coalesce(sum(part.up_s), 0) AS up_s, coalesce(sum(part.down_s), 0) AS down_s FROM part
    )
    SELECT total.up_s, total.down_s,
           CASE WHEN total.up_s + total.down_s > 0
                THEN 100 * total.up_s / (total.up_s + total.down_s) END
    FROM total
$$;
COMMENT ON FUNCTION uptime IS 'Seconds up and down of a component, and its availability in percent, as far as it was observed.';
