-- part: step
-- The life of an alert: from what is (x) to what follows (n). docs/alerts.md tells it as a table. OFFSET 0 keeps
-- the steps apart: folded into one expression they would be planned and computed many times over.
-- 1. Time in which nobody looked counts neither as broken nor as calm; after too long it starts anew.
CROSS JOIN LATERAL (
    SELECT coalesce(x.at - x.last_at > interval '2 minutes', false) AS is_gap,
           coalesce(x.at - x.last_at > make_interval(secs => %(tolerance_s)s), false) AS is_lost,
           coalesce(x.missing_since, x.last_at) AS seen_to,
           make_interval(secs => %(grace_s)s) AS grace
) g
CROSS JOIN LATERAL (
    SELECT CASE WHEN x.phase <> 'pending' OR NOT g.is_gap THEN x.since
                WHEN g.is_lost OR x.wait_for < g.grace THEN x.at
                WHEN x.wait_for - (g.seen_to - x.since) > interval '0' AND x.wait_for - (g.seen_to - x.since) < g.grace
                THEN x.at + g.grace - x.wait_for
                ELSE x.since + (x.at - g.seen_to) END AS since,
           CASE WHEN x.calm_since IS NULL OR NOT g.is_gap THEN x.calm_since
                WHEN g.is_lost THEN x.at
                ELSE x.calm_since + (x.at - g.seen_to) END AS calm_since,
           CASE WHEN x.missing_since IS NOT NULL AND g.is_gap THEN x.at ELSE x.missing_since END AS missing_since
    OFFSET 0
) t
-- 2. What is read: a value; or, without one, what the policy makes of it. Kept time does not count either.
CROSS JOIN LATERAL (
    SELECT CASE WHEN x.status IS NULL THEN 'gone'
                WHEN x.status = 'value' THEN 'value'
                WHEN x.status = 'error' THEN x.on_error
                WHEN x.status = 'unanswered' THEN 'keep'
                WHEN x.no_data = 'alert' AND NOT x.is_known THEN 'keep'
                ELSE x.no_data END AS reading
) p
CROSS JOIN LATERAL (
    SELECT p.reading = 'keep' AS is_kept,
           CASE p.reading WHEN 'value' THEN x.up WHEN 'alert' THEN x.no_data_rank ELSE 0 END AS up,
           CASE p.reading WHEN 'value' THEN x.stay WHEN 'alert' THEN 15 ELSE 0 END & ((1 << x.value_rank) - 1) AS stay,
           CASE WHEN p.reading = 'keep' THEN interval '0'
                ELSE coalesce(x.at - t.missing_since, interval '0') END AS shift
) k
-- The loudest level that it reached and that is not left.
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.stay >= 8 THEN 4 WHEN k.stay >= 4 THEN 3 WHEN k.stay >= 2 THEN 2 ELSE k.stay END AS loudest
) m
CROSS JOIN LATERAL (
    SELECT CASE WHEN x.phase = 'pending' THEN least(t.since + k.shift, x.at) ELSE x.since END AS since,
           least(t.calm_since + k.shift, x.at) AS calm_since,
           CASE WHEN x.phase = 'firing' THEN greatest(k.up, m.loudest) ELSE k.up END AS wanted,
           CASE WHEN x.is_flapping THEN greatest(x.keep_for, x.flap_window) ELSE x.keep_for END AS keep_for
    OFFSET 0
) w
-- 3. The phase.
CROSS JOIN LATERAL (
    SELECT CASE WHEN k.is_kept THEN x.phase
                WHEN p.reading = 'gone' THEN 'ok'
                WHEN x.phase = 'firing' THEN
                    CASE WHEN w.wanted = 0 AND x.at - coalesce(w.calm_since, x.at) >= w.keep_for THEN 'ok' ELSE 'firing' END
                WHEN w.wanted = 0 THEN 'ok'
                WHEN x.at - CASE WHEN x.phase = 'pending' THEN w.since ELSE x.at END >= x.wait_for THEN 'firing'
                ELSE 'pending' END AS phase
    OFFSET 0
) f
CROSS JOIN LATERAL (
    SELECT f.phase = 'firing' AND x.phase <> 'firing' AS is_opening,
           f.phase = 'firing' AND NOT k.is_kept AND w.wanted = 0 AS is_calm,
           CASE WHEN f.phase <> 'firing' THEN 0 WHEN k.is_kept OR w.wanted = 0 THEN x.value_rank ELSE w.wanted END AS value_rank,
           greatest(x.value_rank, x.floor_rank) AS old_rank
    OFFSET 0
) o
-- 4. The level: that of the value, or the one that nobody acknowledged in time.
CROSS JOIN LATERAL (
    SELECT CASE WHEN f.phase <> 'firing' OR o.is_opening THEN 0
                WHEN x.escalate_after IS NOT NULL AND NOT x.acknowledged AND NOT k.is_kept AND NOT o.is_calm
                 AND o.value_rank <= o.old_rank AND greatest(o.value_rank, x.floor_rank) < 4
                 AND x.at - x.raised_at >= x.escalate_after
                THEN greatest(o.value_rank, x.floor_rank) + 1
                ELSE x.floor_rank END AS floor_rank,
           CASE WHEN o.is_opening AND x.flap_count > 0
                THEN (x.opens || x.at)[greatest(1, cardinality(x.opens) + 2 - x.flap_count):] ELSE x.opens END AS opens
    OFFSET 0
) e
CROSS JOIN LATERAL (
    SELECT greatest(o.value_rank, e.floor_rank) AS rank,
           CASE WHEN o.is_opening
                THEN x.flap_count > 0 AND cardinality(e.opens) >= x.flap_count AND e.opens[1] > x.at - x.flap_window
                ELSE x.is_flapping AND f.phase = 'firing' END AS is_flapping
) l
CROSS JOIN LATERAL (
    SELECT f.phase,
           CASE WHEN f.phase = 'ok' THEN NULL WHEN f.phase <> x.phase AND (o.is_opening OR x.phase = 'ok') THEN x.at
                ELSE w.since END AS since,
           CASE WHEN f.phase <> 'firing' THEN NULL WHEN k.is_kept THEN t.calm_since
                WHEN o.is_calm THEN coalesce(w.calm_since, x.at) END AS calm_since,
           CASE WHEN k.is_kept AND f.phase <> 'ok'
                THEN coalesce(t.missing_since, CASE WHEN NOT g.is_gap THEN x.last_at END, x.at) END AS missing_since,
           o.value_rank, e.floor_rank,
           CASE WHEN f.phase <> 'firing' THEN NULL WHEN o.is_opening OR l.rank > o.old_rank THEN x.at
                ELSE x.raised_at END AS raised_at,
           x.acknowledged AND f.phase = 'firing' AS acknowledged,
           e.opens, l.is_flapping, l.rank,
           CASE WHEN o.is_opening THEN 'opened'
                WHEN x.phase = 'firing' AND f.phase = 'ok' THEN 'resolved'
                WHEN f.phase = 'firing' AND l.rank > o.old_rank THEN 'escalated'
                WHEN f.phase = 'firing' AND l.rank < o.old_rank THEN 'lowered' END AS step,
           CASE WHEN p.reading = 'gone' THEN 'the rule no longer looks at it'
                WHEN e.floor_rank > x.floor_rank THEN 'nobody acknowledged it'
                WHEN x.status = 'missing' THEN 'no data'
                WHEN x.status = 'error' THEN 'the rule cannot be evaluated'
                WHEN o.is_opening AND l.is_flapping THEN 'it flaps'
                ELSE '' END AS reason,
           f.phase <> 'ok' OR p.reading <> 'gone' AND (
               cardinality(e.opens) > 0
               OR 'alert' IN (x.no_data, x.on_error) AND (x.is_known OR x.status = 'value')) AS is_known
) n

-- part: of_data.judges
rule_id <> ALL (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite'))

-- part: of_rules.judges
rule_id = ANY (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite'))

-- part: probe.judges
rule_id = ANY (%(rule_ids)s)

-- part: judged
-- One turn of that life for everything that has a state or breaks a limit.
judged AS MATERIALIZED (
    SELECT x.rule_id, x.component, x.labels, x.value, x.alert_id, x.was, n.*
    FROM (
        SELECT coalesce(v.rule_id, s.rule_id) AS rule_id, coalesce(v.component, s.component) AS component,
               coalesce(v.labels, s.labels) AS labels, v.value, coalesce(v.up, 0) AS up, coalesce(v.stay, 0) AS stay,
               -- What a composite does not name is calm.
               coalesce(v.status, CASE WHEN r.error IS NOT NULL THEN 'error'
                                       WHEN r.kind = 'composite' THEN 'value' END) AS status,
               %(end)s::timestamptz AS at, %(last_at)s::timestamptz AS last_at, s.alert_id,
               s.rule_id IS NOT NULL AS is_known, coalesce(s.phase, 'ok') AS phase, s.since, s.calm_since,
               s.missing_since, coalesce(s.value_rank, 0) AS value_rank, coalesce(s.floor_rank, 0) AS floor_rank,
               s.raised_at, coalesce(s.acknowledged, false) AS acknowledged, coalesce(s.opens, '{}') AS opens,
               coalesce(s.is_flapping, false) AS is_flapping,
               r.no_data, r.on_error, r.no_data_rank, r.wait_for, r.keep_for, r.escalate_after, r.flap_count, r.flap_window,
               CASE WHEN s.rule_id IS NOT NULL THEN
                   ROW(s.phase, s.since, s.calm_since, s.missing_since, s.value_rank, s.floor_rank, s.raised_at,
                       s.acknowledged, s.opens, s.is_flapping) END AS was
        FROM verdicts v
        FULL JOIN (
            SELECT * FROM alert_states WHERE {judges} AND in_share(rule_id, component, labels, %(share)s, %(shares)s)
        ) s
            ON s.rule_id = v.rule_id AND s.component = v.component AND s.labels = v.labels
        LEFT JOIN rules r ON r.id = coalesce(v.rule_id, s.rule_id)
            AND r.id = ANY (ARRAY(SELECT rule_id FROM verdicts UNION SELECT rule_id FROM alert_states))
        WHERE (s.rule_id IS NOT NULL OR v.up > 0 OR r.remembers AND v.status = 'value')
          -- Of what is well and known to be, nothing follows.
          AND (r.remembers AND v.status = 'value' AND v.up = 0 AND s.phase = 'ok' AND s.missing_since IS NULL
               AND s.opens = '{}') IS NOT TRUE
    ) x
    {step}
)
