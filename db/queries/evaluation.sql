-- part: live.source
alert_rules

-- part: draft.source
jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb)

-- part: rules
-- The rules as numbers: limits are turned round where smaller is worse, so that larger always is.
rules AS MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.labels, r.category, r.agg, r.window_s, r.over,
           CASE r.kind WHEN 'change' THEN r.offset_s ELSE 0 END AS offset_s, r.is_relative,
           CASE WHEN r.window_s %% 60 = 0 AND r.agg NOT IN ('rate', 'p50', 'p90', 'p95', 'p99')
                THEN 'minutes' ELSE 'samples' END AS source,
           array_position(ARRAY['avg', 'min', 'max', 'sum', 'count', 'first', 'last', 'stddev', 'rate',
                                'p50', 'p90', 'p95', 'p99'], r.agg) AS aggregate,
           d.op, d.sign, d.op IN ('>', '<') AS is_strict,
           d.limits[1] * d.sign AS limit_1, d.limits[2] * d.sign AS limit_2,
           d.limits[3] * d.sign AS limit_3, d.limits[4] * d.sign AS limit_4,
           coalesce(d.leaves[1], d.limits[1]) * d.sign AS leave_1,
           coalesce(d.leaves[2], d.limits[2]) * d.sign AS leave_2,
           coalesce(d.leaves[3], d.limits[3]) * d.sign AS leave_3,
           coalesce(d.leaves[4], d.limits[4]) * d.sign AS leave_4,
           d.limits,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error,
           array_position(ARRAY['info', 'warning', 'critical', 'emergency'], r.no_data_level) AS no_data_rank
    FROM {source} r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind <> 'absence' THEN %(thresholds)s::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT g.op, CASE WHEN g.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign,
               CASE WHEN r.kind <> 'absence' THEN coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) END AS limits,
               coalesce(r.recoveries, level_limits(r.recovery)) AS leaves
        FROM (SELECT coalesce(t.settings ->> 'op', r.op) AS op) g
    ) d
    WHERE r.enabled
)

-- part: covered
-- Which series each rule looks at, and what has to be known of them.
covered AS MATERIALIZED (
    SELECT r.id AS rule_id, s.id AS series_id, s.component, s.labels, o.id AS over_id,
           CASE WHEN r.agg LIKE 'p__' AND s.kind = 'distribution' THEN 'distributions' ELSE r.source END AS source
    FROM (
        SELECT r.id AS rule_id, s.id AS series_id
        FROM rules r
        JOIN series s ON s.metric = r.metric AND s.component = r.component
        UNION ALL
        SELECT r.id, s.id
        FROM rules r
        JOIN series s ON s.metric = r.metric
        WHERE r.component IS NULL
    ) pair
    JOIN rules r ON r.id = pair.rule_id
    JOIN series s ON s.id = pair.series_id
    LEFT JOIN series o ON r.kind = 'ratio' AND o.metric = r.over AND o.component = s.component AND o.labels = s.labels
    WHERE r.labels = '{}' OR s.labels @> r.labels
), needed AS MATERIALIZED (
    SELECT DISTINCT n.series_id, r.window_s, n.shift_s, c.source,
           make_interval(secs => r.window_s) AS length, make_interval(secs => n.shift_s) AS shift,
           make_interval(secs => r.window_s + n.shift_s) AS reach
    FROM covered c
    JOIN rules r ON r.id = c.rule_id
    CROSS JOIN LATERAL (
        SELECT c.series_id, 0 AS shift_s
        UNION ALL
        SELECT c.series_id, r.offset_s WHERE r.offset_s > 0
        UNION ALL
        SELECT c.over_id, 0 WHERE c.over_id IS NOT NULL
    ) n
)

-- part: observed
-- Each needed aggregate at each instant: a minute counts for every instant in whose window it lies. A sweep
-- reads all series of a few minutes at once, which suits many rules; otherwise each series is looked up.
observed AS MATERIALIZED (
    SELECT m.series_id, m.window_s, m.shift_s, 'minutes' AS source, i.at,
           ARRAY[sum(m.sum) / sum(m.count), min(m.min), max(m.max), sum(m.sum), sum(m.count)::double precision,
                 first(m.first, m.bucket), last(m.last, m.bucket),
                 sqrt((merge_moments(ARRAY[m.count::double precision, m.sum, m.m2]))[3] / sum(m.count)::double precision)
           ]::double precision[] AS aggregates
    FROM (
        SELECT n.series_id, n.window_s, n.shift_s, n.length, n.shift, m.bucket, m.count, m.sum, m.min, m.max, m.first, m.last, m.m2
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id
        WHERE %(sweep)s::boolean AND n.source = 'minutes' AND n.reach <= interval '10 minutes'
          AND m.bucket >= %(start)s::timestamptz - interval '10 minutes' AND m.bucket < %(end)s::timestamptz
          AND m.bucket >= %(start)s::timestamptz - (SELECT max(reach) FROM needed WHERE reach <= interval '10 minutes')
        UNION ALL
        SELECT n.series_id, n.window_s, n.shift_s, n.length, n.shift, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.min, m.max, m.first, m.last, m.m2
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id
              AND m.bucket >= %(start)s::timestamptz - n.reach AND m.bucket < %(end)s::timestamptz - n.shift
            OFFSET 0
        ) m
        WHERE n.source = 'minutes' AND NOT (%(sweep)s::boolean AND n.reach <= interval '10 minutes')
    ) m
    CROSS JOIN LATERAL generate_series(
        greatest(m.bucket + interval '1 minute' + m.shift, %(start)s::timestamptz),
        least(m.bucket + m.length + m.shift, %(end)s::timestamptz), interval '1 minute'
    ) i (at)
    GROUP BY m.series_id, m.window_s, m.shift_s, i.at
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

-- part: verdicts
-- What each rule says of each thing at each instant: the loudest level whose limit is broken (up), and the
-- loudest that is not yet left (stay).
verdicts AS MATERIALIZED (
    SELECT v.rule_id, v.component, v.labels, v.at, v.value,
           CASE WHEN v.value IS NULL THEN 'missing' ELSE 'value' END AS status,
           CASE WHEN m.measure > r.limit_4 OR NOT r.is_strict AND m.measure = r.limit_4 THEN 4
                WHEN m.measure > r.limit_3 OR NOT r.is_strict AND m.measure = r.limit_3 THEN 3
                WHEN m.measure > r.limit_2 OR NOT r.is_strict AND m.measure = r.limit_2 THEN 2
                WHEN m.measure > r.limit_1 OR NOT r.is_strict AND m.measure = r.limit_1 THEN 1
                ELSE 0 END AS up,
           CASE WHEN m.measure > r.leave_4 OR NOT r.is_strict AND m.measure = r.leave_4 THEN 4
                WHEN m.measure > r.leave_3 OR NOT r.is_strict AND m.measure = r.leave_3 THEN 3
                WHEN m.measure > r.leave_2 OR NOT r.is_strict AND m.measure = r.leave_2 THEN 2
                WHEN m.measure > r.leave_1 OR NOT r.is_strict AND m.measure = r.leave_1 THEN 1
                ELSE 0 END AS stay
    FROM (
        SELECT c.rule_id, c.component, c.labels, i.at,
               nullif(CASE r.kind
                   WHEN 'change' THEN (now.aggregates[r.aggregate] - other.aggregates[r.aggregate])
                       * CASE WHEN r.is_relative THEN 100 / nullif(abs(other.aggregates[r.aggregate]), 0) ELSE 1 END
                   WHEN 'ratio' THEN now.aggregates[r.aggregate] / nullif(other.aggregates[r.aggregate], 0)
                   ELSE now.aggregates[r.aggregate]
               END, 'NaN') AS value
        FROM covered c
        JOIN rules r ON r.id = c.rule_id
        -- Counted, because the planner takes any series of times for a thousand rows.
        CROSS JOIN generate_series(0, %(minutes)s::integer) turn (number)
        CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + turn.number * interval '1 minute' AS at) i
        LEFT JOIN observed now
            ON now.series_id = c.series_id AND now.window_s = r.window_s AND now.shift_s = 0
           AND now.source = c.source AND now.at = i.at
        LEFT JOIN observed other
            ON r.kind IN ('change', 'ratio') AND other.series_id = CASE r.kind WHEN 'ratio' THEN c.over_id ELSE c.series_id END
           AND other.window_s = r.window_s AND other.shift_s = r.offset_s
           AND other.source = c.source AND other.at = i.at
    ) v
    JOIN rules r ON r.id = v.rule_id
    CROSS JOIN LATERAL (SELECT v.value * r.sign AS measure) m
)

-- name: lock
SELECT evaluated_at FROM alert_clock FOR UPDATE

-- name: plan_for_many
-- Nothing tells the planner how many things the rules cover; where it guesses few and there are thousands, a
-- nested loop takes seconds for what a hash join does at once.
SELECT set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('jit', 'off', true)

-- name: evaluate
-- Every rule against everything it covers at one instant, and what follows from it, in one statement.
WITH {rules}, {covered}, {observed}, {verdicts}, {judged},
moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.step, j.reason, j.is_flapping, j.value,
           CASE WHEN j.step = 'resolved' THEN NULL
                ELSE (ARRAY['info', 'warning', 'critical', 'emergency'])[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN j.component || ' is down'
                ELSE concat_ws(': ', nullif(j.component, ''), r.name) END AS title,
           CASE WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(' ', j.reason, 'of', series_name(r.metric, j.labels))
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                ELSE concat_ws(' ',
                    CASE r.kind WHEN 'change' THEN 'change of ' WHEN 'ratio' THEN 'ratio of ' ELSE '' END || r.agg, 'of',
                    series_name(r.metric, j.labels), CASE WHEN r.kind = 'ratio' THEN 'over ' || r.over END, 'is',
                    concat_ws(' ', round(j.value::numeric, 2), u.unit) || ',',
                    CASE WHEN r.op IN ('>', '>=') THEN 'above' ELSE 'below' END,
                    coalesce(r.limits[j.rank], r.limits[j.value_rank]), u.unit) END AS message
    FROM judged j
    LEFT JOIN rules r ON r.id = j.rule_id
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind = 'ratio' THEN NULL WHEN r.is_relative THEN 'percent' ELSE nullif(s.unit, '') END AS unit
    ) u
    WHERE j.step IS NOT NULL
), opened AS (
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
    FROM judged j
    LEFT JOIN rules r ON r.id = j.rule_id
    LEFT JOIN opened o ON j.step = 'opened' AND o.rule = r.name AND o.component = j.component AND o.labels = j.labels
    WHERE j.is_known
      AND ROW(j.phase, j.since, j.calm_since, j.missing_since, j.value_rank, j.floor_rank, j.raised_at,
              j.acknowledged, j.opens, j.is_flapping) IS DISTINCT FROM j.was
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, calm_since = excluded.calm_since,
        missing_since = excluded.missing_since, value_rank = excluded.value_rank, floor_rank = excluded.floor_rank,
        raised_at = excluded.raised_at, acknowledged = excluded.acknowledged, opens = excluded.opens,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
), forgotten AS (
    DELETE FROM alert_states s
    USING judged j
    WHERE s.rule_id = j.rule_id AND s.component = j.component AND s.labels = j.labels AND NOT j.is_known
), clocked AS (
    UPDATE alert_clock SET evaluated_at = %(end)s::timestamptz
)
SELECT id AS alert_id, step FROM steps ORDER BY id

-- name: replay
-- The same life over many instants at once: the states given, then each minute of the range.
WITH RECURSIVE {rules}, {covered}, {observed}, {verdicts},
things AS MATERIALIZED (
    SELECT v.rule_id, v.component, v.labels, array_agg(v.status ORDER BY v.at) AS statuses,
           array_agg(v.up ORDER BY v.at) AS ups, array_agg(v.stay ORDER BY v.at) AS stays,
           array_agg(v.value ORDER BY v.at) AS readings
    FROM verdicts v
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
           n.floor_rank, n.raised_at, n.acknowledged, n.opens, n.is_flapping, n.rank, n.step, n.reason,
           CASE WHEN n.step = 'opened' THEN x.value
                WHEN x.phase = 'firing' THEN
                    CASE WHEN x.sign > 0 THEN greatest(x.peak, x.value) ELSE least(x.peak, x.value) END END
    FROM (
        SELECT w.number, w.turn + 1 AS turn, t.readings[w.turn + 1] AS value, t.statuses[w.turn + 1] AS status,
               t.ups[w.turn + 1] AS up, t.stays[w.turn + 1] AS stay,
               %(start)s::timestamptz + w.turn * interval '1 minute' AS at, w.last_at,
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
WHERE w.turn > 0 AND (w.step IS NOT NULL OR w.last_at = %(end)s::timestamptz)
ORDER BY w.last_at, w.number

-- name: reach_of_past
-- How many series a rule covers now, and since when minutes and samples are kept.
SELECT (SELECT count(*) FROM series
        WHERE metric = %(metric)s AND (%(component)s::text IS NULL OR component = %(component)s)
          AND labels @> %(labels)s::jsonb) AS things,
       nullif((SELECT max(dropped_to) FROM tiers WHERE name IN ('raw', '1m')), '-infinity') AS kept_from
