-- name: evaluate_range
-- Runs the state machine over many minutes. The recursive part starts with the given states and takes one evaluated
-- minute of the range in each step, for all instances at once.
WITH RECURSIVE
{rules},
{readings}, looked AS MATERIALIZED (
    SELECT i.at
    FROM generate_series(0, %(minutes)s::integer) minute (number)
    CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + minute.number * interval '1 minute' AS at) i
    -- Gaps do not overlap, so only the newest one that started before the minute can contain it.
    WHERE (i.at < (SELECT g.end_time FROM evaluation_gaps g WHERE g.start_time <= i.at ORDER BY g.start_time DESC
        LIMIT 1)) IS NOT TRUE
), instances AS MATERIALIZED (
    SELECT b.rule_id, b.component, b.labels, array_agg(b.at ORDER BY b.at) AS instants,
           array_agg(b.status ORDER BY b.at) AS statuses,
           array_agg(b.breached_rank ORDER BY b.at) AS breached_ranks,
           array_agg(b.retained_bits ORDER BY b.at) AS retained_bits,
           array_agg(b.value ORDER BY b.at) AS readings
    FROM breaches b
    JOIN looked l ON l.at = b.at
    GROUP BY b.rule_id, b.component, b.labels
), numbered AS MATERIALIZED (
    SELECT row_number() OVER () AS number, i.*, r.no_data, r.on_error, r.no_data_rank, r.wait_for, r.keep_for,
           r.escalate_after, r.flap_count, r.flap_window, r.sign
    FROM instances i
    JOIN rules r ON r.id = i.rule_id
), walk AS (
    SELECT n.number, 0 AS minute, NULL::double precision AS value, given.last_at,
           given.is_known IS NOT NULL AS is_known,
           coalesce(given.phase, 'ok') AS phase, given.since, given.clear_since, given.missing_since,
           coalesce(given.value_rank, 0) AS value_rank, coalesce(given.floor_rank, 0) AS floor_rank, given.raised_at,
           coalesce(given.acknowledged, false) AS acknowledged, coalesce(given.opens, '{}') AS opens,
           coalesce(given.is_flapping, false) AS is_flapping, 0 AS rank, NULL::text AS transition, '' AS reason,
           given.peak
    FROM numbered n
    LEFT JOIN jsonb_to_recordset(%(states)s::jsonb) AS given (
        rule_id integer, component text, labels jsonb, last_at timestamptz, is_known boolean, phase text,
        since timestamptz,
        clear_since timestamptz, missing_since timestamptz, value_rank integer, floor_rank integer,
        raised_at timestamptz, acknowledged boolean, opens timestamptz[], is_flapping boolean, peak double precision
    ) ON given.rule_id = n.rule_id AND given.component = n.component AND given.labels = n.labels
    UNION ALL
    SELECT before.number, before.minute, before.value, before.at, after.is_known, after.phase, after.since,
           after.clear_since, after.missing_since, after.value_rank, after.floor_rank, after.raised_at,
           after.acknowledged, after.opens, after.is_flapping,
           CASE WHEN after.transition = 'resolved' THEN greatest(before.value_rank, before.floor_rank)
               ELSE after.rank END,
           after.transition, after.reason,
           CASE WHEN after.transition = 'opened' THEN before.value
                WHEN before.phase = 'firing' THEN
                    CASE WHEN before.sign > 0 THEN greatest(before.peak, before.value)
                         ELSE least(before.peak, before.value) END END
    FROM (
        SELECT w.number, w.minute + 1 AS minute, n.readings[w.minute + 1] AS value, n.statuses[w.minute + 1] AS status,
               n.breached_ranks[w.minute + 1] AS breached_rank, n.retained_bits[w.minute + 1] AS retained_bits,
               n.instants[w.minute + 1] AS at, w.last_at,
               w.is_known, w.phase, w.since, w.clear_since, w.missing_since, w.value_rank, w.floor_rank, w.raised_at,
               w.acknowledged, w.opens, w.is_flapping, n.no_data, n.on_error, n.no_data_rank, n.wait_for, n.keep_for,
               n.escalate_after, n.flap_count, n.flap_window, n.sign, w.peak
        FROM walk w
        JOIN numbered n ON n.number = w.number
        WHERE w.minute < cardinality(n.instants)
    ) before
    {transition}
)
SELECT n.rule_id, n.component, n.labels, w.last_at AS at, w.value, w.is_known, w.phase, w.since, w.clear_since,
       w.missing_since, w.value_rank, w.floor_rank, w.raised_at, w.acknowledged, w.opens, w.is_flapping, w.rank,
       w.transition, w.reason, w.peak
FROM walk w
JOIN numbered n ON n.number = w.number
WHERE w.minute > 0 AND (w.transition IS NOT NULL OR w.minute = cardinality(n.instants))
ORDER BY w.last_at, w.number

-- name: reach_of_past
-- The number of series that some rules cover now, and the time from which on all their inputs are kept. Considers what
-- was dropped from the tiers that the rules read, and metrics with a retention of their own.
WITH asked AS (
    SELECT r.metric, r.over, r.component, r.labels,
           make_interval(secs => greatest(r.window_s + r.offset_s, r.short_window_s)) AS reach,
           CASE WHEN r.agg LIKE 'p__' THEN ARRAY['raw', 'distributions']
                WHEN r.window_s %% 60 = 0 AND r.agg <> 'rate' THEN ARRAY['1m'] ELSE ARRAY['raw'] END AS tiers
    FROM jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb) r
), dropped AS (
    SELECT a.reach, t.dropped_to
    FROM asked a
    JOIN tiers t ON t.name = ANY (a.tiers)
    UNION ALL
    SELECT a.reach, time_bucket('1 day', %(now)s::timestamptz
           - interval '1 day' * (m.value ->> 'keep_days')::double precision)
    FROM monitoring_config c
    CROSS JOIN LATERAL jsonb_each(c.value -> 'metrics') m
    JOIN asked a ON m.key IN (a.metric, a.over)
    WHERE c.key = 'retention' AND m.value ->> 'keep_days' IS NOT NULL
)
SELECT (SELECT count(*)
        FROM asked a
        JOIN series s ON s.metric = a.metric AND (a.component IS NULL OR s.component = a.component)
            AND s.labels @> a.labels
       ) AS instances,
       (SELECT max(dropped_to + reach) FROM dropped WHERE dropped_to > '-infinity') AS kept_from
