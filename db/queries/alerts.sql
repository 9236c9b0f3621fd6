-- name: upsert_rule
-- A shipped rule is inserted once; what people make of it afterwards stays.
INSERT INTO alert_rules (name, kind, metric, component, category, agg, window_s, op, levels, enabled)
VALUES (%(name)s, %(kind)s, %(metric)s, %(component)s::text, %(category)s::text, %(agg)s, %(window_s)s,
        %(op)s, %(levels)s::jsonb, %(enabled)s)
ON CONFLICT (name) DO NOTHING

-- name: evaluate
-- Every rule against every series it covers at one instant, and what follows from it, in one statement:
-- 1. the aggregate over the window that ends at the instant, from the 1m tier;
-- 2. the loudest level whose limit it breaks;
-- 3. open, raise, lower or resolve; no sample in the window keeps everything as it is;
-- 4. one row per step for the audit.
WITH covered AS (
    SELECT r.name AS rule, r.agg, r.window_s, coalesce(r.category, s.category) AS category, s.id AS series_id, s.component, s.labels, s.unit,
           s.metric,
           coalesce(r.levels, (%(thresholds)s::jsonb -> r.metric) - 'op') AS levels,
           CASE WHEN r.levels IS NULL
                THEN coalesce(%(thresholds)s::jsonb -> r.metric ->> 'op', r.op) ELSE r.op END AS op
    FROM alert_rules r
    JOIN series s ON s.metric = r.metric AND (r.component IS NULL OR s.component = r.component)
    WHERE r.enabled
), observed AS (
    SELECT c.*, a.value
    FROM covered c
    CROSS JOIN LATERAL (
        SELECT CASE c.agg
                   WHEN 'avg' THEN sum(m.sum) / sum(m.count)
                   WHEN 'min' THEN min(m.min)
                   WHEN 'max' THEN max(m.max)
                   WHEN 'sum' THEN sum(m.sum)
                   WHEN 'count' THEN sum(m.count)::double precision
                   WHEN 'last' THEN last(m.last, m.bucket)
               END AS value
        FROM system_metrics_1m m
        WHERE m.series_id = c.series_id
          AND m.bucket >= %(at)s::timestamptz - make_interval(secs => c.window_s)
          AND m.bucket < %(at)s::timestamptz
    ) a
), verdict AS (
    SELECT o.*, broken.level, broken.threshold, broken.rank
    FROM observed o
    LEFT JOIN LATERAL (
        SELECT l.key AS level, l.value::double precision AS threshold,
               array_position(ARRAY['info', 'warning', 'critical', 'emergency'], l.key) AS rank
        FROM jsonb_each_text(o.levels) l
        WHERE CASE o.op
                  WHEN '>' THEN o.value > l.value::double precision
                  WHEN '>=' THEN o.value >= l.value::double precision
                  WHEN '<' THEN o.value < l.value::double precision
                  WHEN '<=' THEN o.value <= l.value::double precision
              END
        ORDER BY rank DESC
        LIMIT 1
    ) broken ON true
    WHERE o.value IS NOT NULL
), judged AS (
    SELECT v.*, a.id AS alert_id, a.level AS old_level,
           array_position(ARRAY['info', 'warning', 'critical', 'emergency'], a.level) AS old_rank,
           CASE WHEN v.metric = 'component_up' THEN v.component || ' is down'
                ELSE v.component || ': ' || v.rule END AS title,
           CASE WHEN v.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                ELSE concat_ws(' ', v.agg, 'of', series_name(v.metric, v.labels), 'is',
                               concat_ws(' ', round(v.value::numeric, 2), nullif(v.unit, '')) || ',',
                               CASE WHEN v.op IN ('>', '>=') THEN 'above' ELSE 'below' END,
                               v.threshold, nullif(v.unit, '')) END AS message
    FROM verdict v
    LEFT JOIN series_state st ON st.series_id = v.series_id
    LEFT JOIN system_alerts a ON a.rule = v.rule AND a.series_id = v.series_id AND a.state <> 'resolved'
), opened AS (
    INSERT INTO system_alerts (rule, series_id, level, category, component, labels, title, message,
                               value, threshold, opened_at)
    SELECT rule, series_id, level, category, component, labels,
           title, message, value, threshold, %(at)s::timestamptz
    FROM judged
    WHERE alert_id IS NULL AND level IS NOT NULL
    ORDER BY rank DESC, series_id
    RETURNING id, level, value, threshold, 'opened' AS step
), moved AS (
    UPDATE system_alerts a
    SET level = j.level, value = j.value, threshold = j.threshold, message = j.message
    FROM judged j
    WHERE a.id = j.alert_id AND j.level <> j.old_level AND a.state <> 'resolved'
    RETURNING a.id, a.level, a.value, a.threshold,
              CASE WHEN j.rank > j.old_rank THEN 'escalated' ELSE 'lowered' END AS step
), resolved AS (
    UPDATE system_alerts a
    SET state = 'resolved', resolved_at = %(at)s::timestamptz, resolved_by = 'auto', value = j.value
    FROM judged j
    WHERE a.id = j.alert_id AND j.level IS NULL AND a.state <> 'resolved'
    RETURNING a.id, a.level, a.value, a.threshold, 'resolved' AS step
), steps AS (
    SELECT * FROM opened UNION ALL SELECT * FROM moved UNION ALL SELECT * FROM resolved
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor)
    SELECT id, %(at)s::timestamptz, step, level, value, threshold, 'auto'
    FROM steps
    ORDER BY id
)
SELECT id AS alert_id, step FROM steps ORDER BY id

-- name: open_test
INSERT INTO system_alerts (rule, level, category, component, title, message, opened_at)
VALUES ('test-alert', %(level)s, %(category)s, %(component)s, %(title)s, %(message)s, %(time)s)
RETURNING id

-- name: open_of_component
SELECT id FROM system_alerts WHERE component = %(component)s AND state <> 'resolved' ORDER BY id

-- name: log_step
INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
SELECT id, %(time)s, %(type)s, level, value, threshold, %(actor)s, %(comment)s
FROM system_alerts
WHERE id = %(alert_id)s

-- name: resolve
UPDATE system_alerts
SET state = 'resolved', resolved_at = %(time)s, resolved_by = %(actor)s
WHERE id = %(alert_id)s AND state <> 'resolved'

-- name: acknowledge
UPDATE system_alerts
SET state = 'acknowledged', acknowledged_at = %(time)s, acknowledged_by = %(actor)s
WHERE id = %(alert_id)s AND state = 'firing'

-- name: read
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by
FROM system_alerts
WHERE id = ANY (%(ids)s)
ORDER BY id

-- name: steps
SELECT time, type, level, value, threshold, actor, comment
FROM system_alert_events
WHERE alert_id = %(alert_id)s
ORDER BY id

-- name: active
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by
FROM system_alerts
WHERE state <> 'resolved'
  AND id < %(before)s
  AND (%(level)s::text IS NULL OR level = %(level)s)
  AND (%(category)s::text IS NULL OR category = %(category)s)
  AND (%(component)s::text IS NULL OR component = %(component)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: past
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by
FROM system_alerts
WHERE id < %(before)s
  AND opened_at >= %(start)s AND opened_at < %(end)s
  AND (%(level)s::text IS NULL OR level = %(level)s)
  AND (%(category)s::text IS NULL OR category = %(category)s)
  AND (%(component)s::text IS NULL OR component = %(component)s)
ORDER BY id DESC
LIMIT %(limit)s
