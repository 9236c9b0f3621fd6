-- part: live.source
alert_rules

-- part: probe.source
(SELECT a.* FROM alert_rules a WHERE a.id = ANY (%(rule_ids)s))

-- part: live.error
r.error

-- part: draft.error
r.error

-- part: probe.error
-- As if they were well.
NULL::text AS error

-- part: of_data
{covered}, {observed}, {verdicts}

-- part: of_rules
{composed}

-- part: draft.source
jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb)

-- part: rules
-- The rules as numbers: limits are turned round where smaller is worse, so that larger always is.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, {error}, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(ARRAY['info', 'warning', 'critical', 'emergency'], r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(ARRAY['info', 'warning', 'critical', 'emergency'], r.level) AS level_rank
    FROM {source} r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold' THEN %(thresholds)s::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
)

-- part: live.looked_at
looked_at AS NOT MATERIALIZED (
    SELECT * FROM alert_targets
), needs AS NOT MATERIALIZED (
    SELECT * FROM alert_needs
)

-- part: draft.looked_at
-- As db/targets.py keeps it of rules that are there.
found AS MATERIALIZED (
    {targets}
), needs AS MATERIALIZED (
    SELECT row_number() OVER ()::integer AS id, n.*
    FROM (
        {asked_for}
    ) n
), looked_at AS NOT MATERIALIZED (
    SELECT f.*, n.id AS need_id, o.id AS other_need_id
    {with_needs}
)

-- part: covered
-- What rules look at, with the limits of the settings; and what has to be known for it.
settings AS (
    SELECT key AS metric, CASE WHEN value ->> 'op' IN ('>', '>=') THEN 1 WHEN value ->> 'op' IS NOT NULL THEN -1 END AS sign,
           value ->> 'op' IN ('>', '<') AS is_strict, level_limits(value) AS limits
    FROM jsonb_each(%(thresholds)s::jsonb)
), {looked_at}, covered AS NOT MATERIALIZED (
    SELECT t.rule_id, t.series_id, t.need_id, t.other_need_id, t.kind, t.aggregate,
           t.is_relative, t.budget, coalesce(d.sign, t.sign) AS sign, coalesce(d.is_strict, t.is_strict) AS is_strict,
           coalesce(coalesce(d.limits[1], d.limits[2], d.limits[3], d.limits[4]) * coalesce(d.sign, t.sign),
                    t.quietest) AS quietest, t.is_known
    FROM looked_at t
    LEFT JOIN settings d ON d.metric = t.settings
    LEFT JOIN series s ON s.id = t.series_id
    WHERE in_share(t.rule_id, s.component, s.labels, %(share)s, %(shares)s)
      AND {present}
), needed AS MATERIALIZED (
    SELECT n.id, n.series_id, n.source, make_interval(secs => n.window_s) AS length, make_interval(secs => n.shift_s) AS shift,
           %(start)s::timestamptz - make_interval(secs => n.window_s + n.shift_s) AS start_at,
           %(end)s::timestamptz - make_interval(secs => n.shift_s) AS end_at,
           coalesce(%(start)s::timestamptz - make_interval(secs => n.window_s + n.shift_s) >= %(swept_from)s::timestamptz,
                    false) AS is_swept
    FROM needs n
    WHERE %(shares)s = 1 OR n.id IN (SELECT need_id FROM covered UNION ALL SELECT other_need_id FROM covered)
)

-- part: live.wanted
-- The others are calm, and were.
b.is_broken OR v.is_known OR v.rule_id IN (SELECT rule_id FROM alert_states)

-- part: draft.wanted
true

-- part: live.present
-- Of a component that was let go: not what is left of it, nor its last words. A set, which is mostly empty.
t.series_id NOT IN (
    SELECT s.id
    FROM watched_components w
    JOIN series s ON s.component = w.component
    WHERE w.let_go_at IS NOT NULL
      AND (w.let_go_at > %(end)s::timestamptz - interval '30 seconds'
           OR NOT EXISTS (SELECT FROM series_state st WHERE st.series_id = s.id))
)

-- part: draft.present
true

-- part: verdicts
-- What each rule says of each thing at each instant: the loudest level whose limit is broken (up), and the
-- levels that would not be left (stay), as bits: 1 info to 8 emergency.
told AS MATERIALIZED (
    SELECT v.rule_id, v.series_id, v.at, v.value, v.is_unanswered
    FROM (
        SELECT c.*, i.at, c.kind = 'sql' AND other.aggregates IS NULL AS is_unanswered,
               nullif(CASE c.kind
                   WHEN 'change' THEN (now.aggregates[c.aggregate] - other.aggregates[c.aggregate])
                       * CASE WHEN c.is_relative THEN 100 / nullif(abs(other.aggregates[c.aggregate]), 0) ELSE 1 END
                   WHEN 'ratio' THEN now.aggregates[c.aggregate] / nullif(other.aggregates[c.aggregate], 0)
                   WHEN 'burn' THEN CASE WHEN other.aggregates IS NOT NULL
                                     THEN (1 - greatest(now.aggregates[1], other.aggregates[1])) / c.budget END
                   ELSE now.aggregates[c.aggregate]
               END, 'NaN') AS value
        FROM covered c
        -- Counted, because the planner takes any series of times for a thousand rows.
        CROSS JOIN (
            SELECT %(start)s::timestamptz + number * interval '1 minute' AS at
            FROM generate_series(0, %(minutes)s::integer) turn (number)
            OFFSET 0
        ) i
        LEFT JOIN observed now ON now.need_id = c.need_id AND now.at = i.at
        LEFT JOIN observed other ON other.need_id = c.other_need_id AND other.at = i.at
        OFFSET 0
    ) v
    CROSS JOIN LATERAL (
        SELECT v.value * v.sign > v.quietest OR NOT v.is_strict AND v.value * v.sign = v.quietest AS is_broken
    ) b
    WHERE {wanted}
), verdicts AS MATERIALIZED (
    SELECT v.rule_id, s.component, s.labels, v.at, v.value,
           CASE WHEN v.value IS NOT NULL THEN 'value' WHEN v.is_unanswered THEN 'unanswered' ELSE 'missing' END AS status,
           CASE WHEN l.measure > l.up[4] OR NOT r.is_strict AND l.measure = l.up[4] THEN 4
                WHEN l.measure > l.up[3] OR NOT r.is_strict AND l.measure = l.up[3] THEN 3
                WHEN l.measure > l.up[2] OR NOT r.is_strict AND l.measure = l.up[2] THEN 2
                WHEN l.measure > l.up[1] OR NOT r.is_strict AND l.measure = l.up[1] THEN 1
                ELSE 0 END AS up,
           CASE WHEN l.measure > l.stay[4] OR NOT r.is_strict AND l.measure = l.stay[4] THEN 8 ELSE 0 END
           + CASE WHEN l.measure > l.stay[3] OR NOT r.is_strict AND l.measure = l.stay[3] THEN 4 ELSE 0 END
           + CASE WHEN l.measure > l.stay[2] OR NOT r.is_strict AND l.measure = l.stay[2] THEN 2 ELSE 0 END
           + CASE WHEN l.measure > l.stay[1] OR NOT r.is_strict AND l.measure = l.stay[1] THEN 1 ELSE 0 END AS stay
    FROM told v
    JOIN series s ON s.id = v.series_id
    JOIN rules r ON r.id = v.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM told))
    CROSS JOIN LATERAL (
        SELECT v.value * r.sign AS measure,
               ARRAY[r.limits[1] * r.sign, r.limits[2] * r.sign, r.limits[3] * r.sign, r.limits[4] * r.sign] AS up,
               ARRAY[coalesce(r.leaves[1], r.limits[1]) * r.sign, coalesce(r.leaves[2], r.limits[2]) * r.sign,
                     coalesce(r.leaves[3], r.limits[3]) * r.sign, coalesce(r.leaves[4], r.limits[4]) * r.sign] AS stay
        OFFSET 0
    ) l
)

-- part: moving
-- What changes, and the words of what follows from it. Of more changes than are wanted at once none is made.
turned AS MATERIALIZED (
    SELECT *
    FROM judged
    WHERE step IS NOT NULL OR NOT is_known
       OR ROW(phase, since, calm_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE %(at_most)s::integer IS NULL OR (SELECT count(*) FROM turned) <= %(at_most)s
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.step, j.reason, j.is_flapping, j.value,
           CASE WHEN j.step = 'resolved' THEN NULL
                ELSE (ARRAY['info', 'warning', 'critical', 'emergency'])[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN j.component || ' is down'
                ELSE concat_ws(': ', nullif(j.component, ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ', 'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                ELSE concat_ws(' ',
                    CASE r.kind WHEN 'change' THEN 'change of ' || r.agg || ' of' WHEN 'ratio' THEN 'ratio of ' || r.agg || ' of'
                                WHEN 'burn' THEN 'burn rate of' WHEN 'sql' THEN NULL ELSE r.agg || ' of' END,
                    series_name(r.metric, j.labels), CASE WHEN r.kind = 'ratio' THEN 'over ' || r.over END, 'is',
                    concat_ws(' ', round(j.value::numeric, 2), u.unit) || ',',
                    CASE WHEN r.op IN ('>', '>=') THEN 'above' ELSE 'below' END,
                    coalesce(r.limits[j.rank], r.limits[j.value_rank]), u.unit) END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') THEN NULL WHEN r.is_relative THEN 'percent' ELSE nullif(s.unit, '') END AS unit
    ) u
    WHERE j.step IS NOT NULL
)

-- name: lock
SELECT evaluated_at,
       EXISTS (SELECT FROM alert_rules WHERE kind = 'composite') AS has_composites,
       clock_timestamp() AS now
FROM alert_clock
FOR UPDATE

-- name: read_clock
SELECT evaluated_at, false AS has_composites, clock_timestamp() AS now
FROM alert_clock

-- name: begin
-- At once, and not with the transaction: what is stored from here on may not be seen.
SELECT setval('alert_minute', extract(epoch FROM %(at)s::timestamptz)::bigint)

-- name: skip
-- Whole minutes between two evaluations.
INSERT INTO alert_gaps (start_time, end_time) VALUES (%(since)s::timestamptz + interval '1 minute', %(at)s)

-- name: rewind
-- The clock was set back: what follows is evaluated after all.
WITH cut AS (
    UPDATE alert_gaps SET end_time = %(at)s WHERE start_time < %(at)s AND end_time > %(at)s
)
DELETE FROM alert_gaps WHERE start_time >= %(at)s

-- name: tick
UPDATE alert_clock SET evaluated_at = %(at)s

-- name: plan_for_many
-- Nothing tells the planner how many things the rules cover; where it guesses few and there are thousands, a
-- nested loop takes seconds for what a hash join does at once. Nothing interrupts the embedded engine.
SELECT set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_sort', 'off', true),
       set_config('jit', 'off', true), set_config('work_mem', '32MB', true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END, true)

-- name: evaluate
-- Every rule against everything it covers at one instant, and what follows from it, in one statement; or how many
-- changes there are, if they are too many.
WITH {rules}, {readings}, {judged},
{moving}, opened AS (
    INSERT INTO system_alerts (rule, series_id, level, category, component, labels, title, message,
                               value, threshold, is_flapping, opened_at)
    SELECT rule, series_id, level, category, component, labels, title, message,
           value, threshold, is_flapping, %(end)s::timestamptz
    FROM moving
    WHERE step = 'opened'
    ORDER BY rank DESC, series_id, rule
    RETURNING id, rule, component, labels, level, value, threshold
), moved AS (
    UPDATE system_alerts a
    SET level = coalesce(m.level, a.level), value = coalesce(m.value, a.value),
        threshold = CASE m.step WHEN 'resolved' THEN a.threshold ELSE m.threshold END,
        message = CASE m.step WHEN 'resolved' THEN a.message ELSE m.message END,
        state = CASE m.step WHEN 'resolved' THEN 'resolved' ELSE a.state END,
        resolved_at = CASE m.step WHEN 'resolved' THEN %(end)s::timestamptz END,
        resolved_by = CASE m.step WHEN 'resolved' THEN 'auto' END
    FROM moving m
    WHERE a.id = m.alert_id AND a.state <> 'resolved'
      AND a.id = ANY (ARRAY(SELECT alert_id FROM moving WHERE alert_id IS NOT NULL))
    RETURNING a.id, a.level, a.threshold
), steps AS (
    SELECT o.id, o.level, o.value, o.threshold, m.step, m.reason
    FROM opened o
    JOIN moving m ON m.rule = o.rule AND m.component = o.component AND m.labels = o.labels
    UNION ALL
    SELECT v.id, v.level, m.value, v.threshold, m.step, m.reason
    FROM moved v
    JOIN moving m ON m.alert_id = v.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, %(end)s::timestamptz, step, level, value, threshold, 'auto', reason
    FROM steps
    ORDER BY id
), written AS (
    INSERT INTO alert_states (rule_id, component, labels, phase, since, calm_since, missing_since, value_rank,
                              floor_rank, raised_at, acknowledged, opens, is_flapping, alert_id)
    SELECT j.rule_id, j.component, j.labels, j.phase, j.since, j.calm_since, j.missing_since, j.value_rank,
           j.floor_rank, j.raised_at, j.acknowledged, j.opens, j.is_flapping,
           CASE WHEN j.step = 'opened' THEN o.id WHEN j.phase = 'firing' THEN j.alert_id END
    FROM changed j
    LEFT JOIN alert_rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN opened o ON j.step = 'opened' AND o.rule = r.name AND o.component = j.component AND o.labels = j.labels
    WHERE j.is_known
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, calm_since = excluded.calm_since,
        missing_since = excluded.missing_since, value_rank = excluded.value_rank, floor_rank = excluded.floor_rank,
        raised_at = excluded.raised_at, acknowledged = excluded.acknowledged, opens = excluded.opens,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
), forgotten AS (
    DELETE FROM alert_states s
    USING changed j
    WHERE s.rule_id = j.rule_id AND s.component = j.component AND s.labels = j.labels AND NOT j.is_known
)
SELECT id AS alert_id, step FROM steps
UNION ALL
SELECT count(*), NULL FROM turned HAVING count(*) > %(at_most)s
ORDER BY alert_id

-- name: probe
-- Whether some rules can be evaluated, to the last word of what follows; the answer itself is of no interest.
WITH {rules}, {readings}, {judged}, {moving}
SELECT count(m) FROM moving m
