-- part: live.source
alert_rules

-- part: probe.source
(SELECT a.* FROM alert_rules a WHERE a.id = ANY (%(rule_ids)s))

-- part: live.error
r.error

-- part: draft.error
r.error

-- part: probe.error
-- A probe evaluates quarantined rules as if they had no error.
NULL::text AS error

-- part: of_data
{covered},
{window_aggregates},
{breaches}

-- part: of_rules
{composed}

-- part: draft.source
jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb)

-- part: rules
-- The rules with their settings as numbers. `sign` is -1 if smaller is worse: a value times `sign` is worse if larger.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.window_s, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, {error}, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(alert_levels(), r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(alert_levels(), r.level) AS level_rank
    FROM {source} r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold'
               THEN %(thresholds)s::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
)

-- part: live.looked_at
looked_at AS NOT MATERIALIZED (
    SELECT * FROM rule_series
), inputs AS NOT MATERIALIZED (
    SELECT * FROM rule_inputs
)

-- part: draft.looked_at
-- For drafts, computed as alerts/evaluation/rule_series.py stores it for saved rules.
found AS MATERIALIZED (
    {rule_series}
), inputs AS MATERIALIZED (
    SELECT row_number() OVER ()::integer AS id, n.*
    FROM (
        {wanted_inputs}
    ) n
), looked_at AS NOT MATERIALIZED (
    SELECT f.*, n.id AS input_id, o.id AS other_input_id
    {with_inputs}
)

-- part: covered
-- The series that rules cover, with the limits of the settings, and the inputs to read for them.
settings AS (
    SELECT key AS metric, CASE WHEN value ->> 'op' IN ('>', '>=') THEN 1 WHEN value ->> 'op' IS NOT NULL
           THEN -1 END AS sign,
           value ->> 'op' IN ('>', '<') AS is_strict, level_limits(value) AS limits
    FROM jsonb_each(%(thresholds)s::jsonb)
),
{looked_at}, covered AS NOT MATERIALIZED (
    SELECT t.rule_id, t.series_id, t.input_id, t.other_input_id, t.kind, t.aggregate,
           t.is_relative, t.budget, coalesce(d.sign, t.sign) AS sign, coalesce(d.is_strict, t.is_strict) AS is_strict,
           coalesce(coalesce(d.limits[1], d.limits[2], d.limits[3], d.limits[4]) * coalesce(d.sign, t.sign),
                    t.least_severe) AS least_severe, t.is_known
    FROM looked_at t
    LEFT JOIN settings d ON d.metric = t.settings
    LEFT JOIN series s ON s.id = t.series_id
    WHERE in_shard(t.rule_id, s.component, s.labels, %(shard)s, %(shards)s)
      AND {present}
), needed AS MATERIALIZED (
    SELECT n.id, n.series_id, n.source, make_interval(secs => n.window_s) AS length,
           make_interval(secs => n.shift_s) AS shift,
           %(start)s::timestamptz - make_interval(secs => n.window_s + n.shift_s) AS start_at,
           %(end)s::timestamptz - make_interval(secs => n.shift_s) AS end_at,
           coalesce(%(start)s::timestamptz - make_interval(secs => n.window_s + n.shift_s)
                    >= %(swept_from)s::timestamptz,
                    false) AS is_swept
    FROM inputs n
    WHERE %(shards)s = 1 OR n.id IN (SELECT input_id FROM covered UNION ALL SELECT other_input_id FROM covered)
)

-- part: live.wanted
-- Skip pairs that are clear now and have no state row: they were clear before.
mildest.is_breached OR found.is_known OR found.rule_id IN (SELECT rule_id FROM alert_states)

-- part: draft.wanted
true

-- part: live.present
-- Exclude removed hosts. Of removed components exclude all series within the removal grace period, because a probe may
-- be in flight, and afterwards every series without a newest sample. This subquery usually returns no rows.
t.series_id NOT IN (
    SELECT s.id
    FROM watched_components w
    JOIN series s ON s.component = w.component
    WHERE w.removed_at IS NOT NULL
      AND (w.removed_at > %(end)s::timestamptz - %(removal_grace)s::interval
           OR NOT EXISTS (SELECT FROM series_state st WHERE st.series_id = s.id))
    UNION ALL
    -- A removed host has sent nothing since. Windows may still reach back to what it sent before.
    SELECT s.id
    FROM host_state h
    JOIN series s ON coalesce(s.labels ->> 'host', s.component) = h.name
    WHERE h.removed_at IS NOT NULL AND (h.kind = 'host') = (s.labels ? 'host')
)

-- part: draft.present
true

-- part: breaches
-- For each rule, series and instant: the value, the rank of the most severe breached limit, and a bit for each level
-- whose recovery limit is not passed (see state_machine.sql).
measured AS MATERIALIZED (
    SELECT found.rule_id, found.series_id, found.at, found.value, found.is_unanswered
    FROM (
        SELECT c.*, instant.at, c.kind = 'sql' AND other.aggregates IS NULL AS is_unanswered,
               nullif(CASE c.kind
                   WHEN 'change' THEN (now.aggregates[c.aggregate] - other.aggregates[c.aggregate])
                       * CASE WHEN c.is_relative THEN 100 / nullif(abs(other.aggregates[c.aggregate]), 0) ELSE 1 END
                   WHEN 'ratio' THEN now.aggregates[c.aggregate] / nullif(other.aggregates[c.aggregate], 0)
                   WHEN 'burn' THEN CASE WHEN other.aggregates IS NOT NULL THEN
                       (1 - greatest(now.aggregates[c.aggregate], other.aggregates[c.aggregate])) / c.budget END
                   ELSE now.aggregates[c.aggregate]
               END, 'NaN') AS value
        FROM covered c
        -- generate_series over integers: for one over timestamps the planner always expects 1,000 rows.
        CROSS JOIN (
            SELECT %(start)s::timestamptz + number * interval '1 minute' AS at
            FROM generate_series(0, %(minutes)s::integer) minute (number)
            OFFSET 0
        ) instant
        LEFT JOIN window_aggregates now ON now.input_id = c.input_id AND now.at = instant.at
        LEFT JOIN window_aggregates other ON other.input_id = c.other_input_id AND other.at = instant.at
        OFFSET 0
    ) found
    CROSS JOIN LATERAL (
        SELECT found.value * found.sign > found.least_severe
               OR NOT found.is_strict AND found.value * found.sign = found.least_severe AS is_breached
    ) mildest
    WHERE {wanted}
), breaches AS MATERIALIZED (
    SELECT m.rule_id, s.component, s.labels, m.at, m.value,
           CASE WHEN m.value IS NOT NULL THEN 'value'
                WHEN m.is_unanswered THEN 'unanswered'
                ELSE 'missing' END AS status,
           CASE WHEN l.measure > l.enters[4] OR NOT r.is_strict AND l.measure = l.enters[4] THEN 4
                WHEN l.measure > l.enters[3] OR NOT r.is_strict AND l.measure = l.enters[3] THEN 3
                WHEN l.measure > l.enters[2] OR NOT r.is_strict AND l.measure = l.enters[2] THEN 2
                WHEN l.measure > l.enters[1] OR NOT r.is_strict AND l.measure = l.enters[1] THEN 1
                ELSE 0 END AS breached_rank,
           CASE WHEN l.measure > l.leaves[4] OR NOT r.is_strict AND l.measure = l.leaves[4] THEN 8 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[3] OR NOT r.is_strict AND l.measure = l.leaves[3] THEN 4 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[2] OR NOT r.is_strict AND l.measure = l.leaves[2] THEN 2 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[1] OR NOT r.is_strict AND l.measure = l.leaves[1] THEN 1 ELSE 0 END
           AS retained_bits
    FROM measured m
    JOIN series s ON s.id = m.series_id
    JOIN rules r ON r.id = m.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM measured))
    CROSS JOIN LATERAL (
        SELECT m.value * r.sign AS measure,
               ARRAY[r.limits[1] * r.sign, r.limits[2] * r.sign, r.limits[3] * r.sign, r.limits[4] * r.sign] AS enters,
               ARRAY[coalesce(r.leaves[1], r.limits[1]) * r.sign, coalesce(r.leaves[2], r.limits[2]) * r.sign,
                     coalesce(r.leaves[3], r.limits[3]) * r.sign, coalesce(r.leaves[4], r.limits[4]) * r.sign] AS leaves
        OFFSET 0
    ) l
)

-- part: moving
-- State changes of this minute, and the alert text of each. If there are more than `at_most`, apply none.
turned AS MATERIALIZED (
    SELECT *
    FROM evaluated
    WHERE transition IS NOT NULL OR NOT is_known
       OR ROW(phase, since, clear_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE %(at_most)s::integer IS NULL OR (SELECT count(*) FROM turned) <= %(at_most)s
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.transition, j.reason, j.is_flapping, j.value,
           CASE WHEN j.transition <> 'resolved' THEN (alert_levels())[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN subject_of(j.component, j.labels) || ' is down'
                WHEN r.metric = 'host_silent_seconds'
                THEN coalesce(j.labels ->> 'host', j.component) || ' stopped sending'
                ELSE concat_ws(': ', nullif(subject_of(j.component, j.labels), ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ',
               'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                WHEN r.metric = 'host_silent_seconds' THEN coalesce(nullif(st.reason, ''), 'no sample arrives')
                ELSE breach_message(
                    CASE r.kind WHEN 'burn' THEN 'Burn rate of the error budget'
                                ELSE metric_title(r.metric) || labels_in_brackets(j.labels) END
                    || CASE r.kind WHEN 'change' THEN ' changed by'
                                   WHEN 'ratio' THEN ' per ' || metric_title(r.over) || ' at' ELSE ' at' END,
                    j.value, u.unit, r.op, coalesce(r.limits[j.rank], r.limits[j.value_rank]))
                    || CASE WHEN r.kind IN ('burn', 'sql') THEN ''
                            ELSE ', ' || aggregate_text(r.agg, r.window_s) END END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') OR r.agg = 'count' THEN NULL
                    WHEN r.is_relative THEN 'percent' ELSE s.unit END AS unit
    ) u
    WHERE j.transition IS NOT NULL
)

-- name: begin
-- `setval` is deliberately non-transactional: from now on writers must record older samples as late, even before this
-- transaction commits, because the evaluation may not see them.
SELECT setval('alert_minute', extract(epoch FROM %(at)s::timestamptz)::bigint)

-- name: skip
-- Record the minutes between two evaluations as a gap.
INSERT INTO evaluation_gaps (start_time, end_time) VALUES (%(since)s::timestamptz + interval '1 minute', %(at)s)

-- name: rewind
-- The clock was set back: later minutes will be evaluated again, so no gap remains there.
WITH cut AS (
    UPDATE evaluation_gaps SET end_time = %(at)s WHERE start_time < %(at)s AND end_time > %(at)s
)
DELETE FROM evaluation_gaps WHERE start_time >= %(at)s

-- name: tick
UPDATE evaluation_clock SET evaluated_at = %(at)s

-- name: plan_for_many
-- The planner has no statistics on the CTEs. If it expects few instances and there are thousands, it chooses a nested
-- loop, which takes seconds where a hash join takes milliseconds. The embedded engine has no statement timeout.
SELECT set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_sort', 'off', true),
       set_config('jit', 'off', true), set_config('work_mem', '32MB', true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END, true)

-- name: evaluate
-- Evaluates every rule over all series that it covers at one instant, stores alerts, audit rows and states, and returns
-- the transitions. If there are more than `at_most` changes, it stores nothing and returns their number.
WITH
{rules},
{readings},
{evaluated},
{moving}, opened AS (
    INSERT INTO system_alerts (rule, series_id, level, category, component, labels, title, message,
                               value, threshold, is_flapping, opened_at)
    SELECT rule, series_id, level, category, component, labels, title, message,
           value, threshold, is_flapping, %(end)s::timestamptz
    FROM moving
    WHERE transition = 'opened'
    ORDER BY rank DESC, series_id, rule
    RETURNING id, rule, component, labels, level, value, threshold
), moved AS (
    UPDATE system_alerts a
    SET level = coalesce(m.level, a.level), value = coalesce(m.value, a.value),
        threshold = CASE m.transition WHEN 'resolved' THEN a.threshold ELSE m.threshold END,
        message = CASE m.transition WHEN 'resolved' THEN a.message ELSE m.message END,
        state = CASE m.transition WHEN 'resolved' THEN 'resolved' ELSE a.state END,
        resolved_at = CASE m.transition WHEN 'resolved' THEN %(end)s::timestamptz END,
        resolved_by = CASE m.transition WHEN 'resolved' THEN 'auto' END
    FROM moving m
    WHERE a.id = m.alert_id AND a.state <> 'resolved'
      AND a.id = ANY (ARRAY(SELECT alert_id FROM moving WHERE alert_id IS NOT NULL))
    RETURNING a.id, a.level, a.threshold
), transitions AS (
    SELECT o.id, o.level, o.value, o.threshold, m.transition, m.reason
    FROM opened o
    JOIN moving m ON m.rule = o.rule AND m.component = o.component AND m.labels = o.labels
    UNION ALL
    SELECT v.id, v.level, m.value, v.threshold, m.transition, m.reason
    FROM moved v
    JOIN moving m ON m.alert_id = v.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, %(end)s::timestamptz, transition, level, value, threshold, 'auto', reason
    FROM transitions
    ORDER BY id
), written AS (
    INSERT INTO alert_states (rule_id, component, labels, phase, since, clear_since, missing_since, value_rank,
                              floor_rank, raised_at, acknowledged, opens, is_flapping, alert_id)
    SELECT j.rule_id, j.component, j.labels, j.phase, j.since, j.clear_since, j.missing_since, j.value_rank,
           j.floor_rank, j.raised_at, j.acknowledged, j.opens, j.is_flapping,
           CASE WHEN j.transition = 'opened' THEN o.id WHEN j.phase = 'firing' THEN j.alert_id END
    FROM changed j
    LEFT JOIN alert_rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN opened o ON j.transition = 'opened' AND o.rule = r.name AND o.component = j.component
        AND o.labels = j.labels
    WHERE j.is_known
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, clear_since = excluded.clear_since,
        missing_since = excluded.missing_since, value_rank = excluded.value_rank, floor_rank = excluded.floor_rank,
        raised_at = excluded.raised_at, acknowledged = excluded.acknowledged, opens = excluded.opens,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
), forgotten AS (
    DELETE FROM alert_states s
    USING changed j
    WHERE s.rule_id = j.rule_id AND s.component = j.component AND s.labels = j.labels AND NOT j.is_known
)
SELECT id AS alert_id, transition FROM transitions
UNION ALL
SELECT count(*), NULL FROM turned HAVING count(*) > %(at_most)s
ORDER BY alert_id

-- name: probe
-- Evaluates some rules, alert texts included, without storing anything. Only an error is of interest; the whole row is
-- counted so that the planner cannot drop any expression.
WITH
{rules},
{readings},
{evaluated},
{moving}
SELECT count(m) FROM moving m
