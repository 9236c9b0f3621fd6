-- name: replay
-- The same life over many instants at once: the states given, then each minute of the range that was evaluated.
WITH RECURSIVE {rules}, {readings},
looked AS MATERIALIZED (
    SELECT i.at
    FROM generate_series(0, %(minutes)s::integer) turn (number)
    CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + turn.number * interval '1 minute' AS at) i
    -- Of gaps, which do not overlap, only the newest that has begun can hold it.
    WHERE (i.at < (SELECT g.end_time FROM alert_gaps g WHERE g.start_time <= i.at ORDER BY g.start_time DESC LIMIT 1)) IS NOT TRUE
), things AS MATERIALIZED (
    SELECT v.rule_id, v.component, v.labels, array_agg(v.at ORDER BY v.at) AS instants,
           array_agg(v.status ORDER BY v.at) AS statuses,
           array_agg(v.up ORDER BY v.at) AS ups, array_agg(v.stay ORDER BY v.at) AS stays,
           array_agg(v.value ORDER BY v.at) AS readings
    FROM verdicts v
    JOIN looked l ON l.at = v.at
    GROUP BY v.rule_id, v.component, v.labels
), numbered AS MATERIALIZED (
    SELECT row_number() OVER () AS number, t.*, r.no_data, r.on_error, r.no_data_rank, r.wait_for, r.keep_for,
           r.escalate_after, r.flap_count, r.flap_window, r.sign
    FROM things t
    JOIN rules r ON r.id = t.rule_id
), walk AS (
    SELECT t.number, 0 AS turn, NULL::double precision AS value, s.last_at, s.is_known IS NOT NULL AS is_known,
           coalesce(s.phase, 'ok') AS phase, s.since, s.calm_since, s.missing_since,
           coalesce(s.value_rank, 0) AS value_rank, coalesce(s.floor_rank, 0) AS floor_rank, s.raised_at,
           coalesce(s.acknowledged, false) AS acknowledged, coalesce(s.opens, '{}') AS opens,
           coalesce(s.is_flapping, false) AS is_flapping, 0 AS rank, NULL::text AS step, '' AS reason, s.peak
    FROM numbered t
    LEFT JOIN jsonb_to_recordset(%(states)s::jsonb) AS s (
        rule_id integer, component text, labels jsonb, last_at timestamptz, is_known boolean, phase text, since timestamptz,
        calm_since timestamptz, missing_since timestamptz, value_rank integer, floor_rank integer,
        raised_at timestamptz, acknowledged boolean, opens timestamptz[], is_flapping boolean, peak double precision
    ) ON s.rule_id = t.rule_id AND s.component = t.component AND s.labels = t.labels
    UNION ALL
    SELECT x.number, x.turn, x.value, x.at, n.is_known, n.phase, n.since, n.calm_since, n.missing_since, n.value_rank,
           n.floor_rank, n.raised_at, n.acknowledged, n.opens, n.is_flapping,
           CASE WHEN n.step = 'resolved' THEN greatest(x.value_rank, x.floor_rank) ELSE n.rank END, n.step, n.reason,
           CASE WHEN n.step = 'opened' THEN x.value
                WHEN x.phase = 'firing' THEN
                    CASE WHEN x.sign > 0 THEN greatest(x.peak, x.value) ELSE least(x.peak, x.value) END END
    FROM (
        SELECT w.number, w.turn + 1 AS turn, t.readings[w.turn + 1] AS value, t.statuses[w.turn + 1] AS status,
               t.ups[w.turn + 1] AS up, t.stays[w.turn + 1] AS stay,
               t.instants[w.turn + 1] AS at, w.last_at,
               w.is_known, w.phase, w.since, w.calm_since, w.missing_since, w.value_rank, w.floor_rank, w.raised_at,
               w.acknowledged, w.opens, w.is_flapping, t.no_data, t.on_error, t.no_data_rank, t.wait_for, t.keep_for,
               t.escalate_after, t.flap_count, t.flap_window, t.sign, w.peak
        FROM walk w
        JOIN numbered t ON t.number = w.number
        WHERE w.turn < cardinality(t.ups)
    ) x
    {step}
)
SELECT t.rule_id, t.component, t.labels, w.last_at AS at, w.value, w.is_known, w.phase, w.since, w.calm_since,
       w.missing_since, w.value_rank, w.floor_rank, w.raised_at, w.acknowledged, w.opens, w.is_flapping, w.rank,
       w.step, w.reason, w.peak
FROM walk w
JOIN numbered t ON t.number = w.number
WHERE w.turn > 0 AND (w.step IS NOT NULL OR w.turn = cardinality(t.ups))
ORDER BY w.last_at, w.number

-- name: reach_of_past
-- How many series some rules cover now, and from when on all that their windows look at is kept: what was dropped of
-- the tier that each reads, and what metrics with an age of their own have lost.
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
    SELECT a.reach, time_bucket('1 day', %(now)s::timestamptz - interval '1 day' * (m.value ->> 'keep_days')::double precision)
    FROM monitoring_config c
    CROSS JOIN LATERAL jsonb_each(c.value -> 'metrics') m
    JOIN asked a ON m.key IN (a.metric, a.over)
    WHERE c.key = 'retention' AND m.value ->> 'keep_days' IS NOT NULL
)
SELECT (SELECT count(*)
        FROM asked a
        JOIN series s ON s.metric = a.metric AND (a.component IS NULL OR s.component = a.component) AND s.labels @> a.labels
       ) AS things,
       (SELECT max(dropped_to + reach) FROM dropped WHERE dropped_to > '-infinity') AS kept_from
