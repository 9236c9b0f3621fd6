-- name: open_test
INSERT INTO system_alerts (rule, level, category, component, title, message, opened_at)
VALUES ('test-alert', %(level)s, %(category)s, %(component)s, %(title)s, %(message)s, %(time)s)
RETURNING id

-- part: of_rules
rule = ANY (%(names)s)

-- part: of_components
component = ANY (%(names)s)

-- part: of_host
labels ->> 'host' = ANY (%(names)s)

-- part: of_sender
component = ANY (%(names)s) AND NOT labels ? 'host'

-- part: cleared
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
)

-- name: log_transition
INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
SELECT id, %(time)s, %(type)s, level, value, threshold, %(actor)s, %(comment)s
FROM system_alerts
WHERE id = %(alert_id)s

-- name: resolve
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = %(time)s, resolved_by = %(actor)s
    WHERE id = %(alert_id)s AND state <> 'resolved'
    RETURNING id
),
{cleared}
SELECT count(*) FROM resolved

-- name: resolve_all
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = %(time)s, resolved_by = %(actor)s
    WHERE {which} AND state <> 'resolved'
    RETURNING id, level, value, threshold
),
{cleared}, logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, %(time)s, 'resolved', level, value, threshold, %(actor)s, %(comment)s
    FROM resolved
    ORDER BY id
)
SELECT array_agg(id ORDER BY id) FROM resolved

-- name: acknowledge
WITH acknowledged AS (
    UPDATE system_alerts
    SET state = 'acknowledged', acknowledged_at = %(time)s, acknowledged_by = %(actor)s
    WHERE id = %(alert_id)s AND state = 'firing'
    RETURNING id
), known AS (
    UPDATE alert_states s SET acknowledged = true FROM acknowledged WHERE s.alert_id = acknowledged.id
)
SELECT count(*) FROM acknowledged

-- name: expire_acknowledgement
WITH expired AS (
    UPDATE system_alerts
    SET state = 'firing', acknowledged_at = NULL, acknowledged_by = NULL
    WHERE id = %(alert_id)s AND state = 'acknowledged'
    RETURNING id
), known AS (
    UPDATE alert_states s SET acknowledged = false FROM expired WHERE s.alert_id = expired.id
)
SELECT count(*) FROM expired

-- name: reopen
-- The alert fires again until the evaluation resolves it. It is not reopened if there is a newer alert of the same
-- instance, open or resolved, nor if its rule is disabled or deleted: nothing would ever resolve it.
WITH reopened AS (
    UPDATE system_alerts a
    SET state = 'firing', resolved_at = NULL, resolved_by = NULL, acknowledged_at = NULL, acknowledged_by = NULL
    FROM alert_rules r
    WHERE a.id = %(alert_id)s AND a.state = 'resolved' AND r.name = a.rule AND r.enabled
      AND NOT EXISTS (
          SELECT FROM system_alerts n
          WHERE n.id > a.id AND n.rule = a.rule AND n.component = a.component AND n.labels = a.labels
      )
    RETURNING a.id, r.id AS rule_id, a.component, a.labels, a.level, a.is_flapping
), known AS (
    INSERT INTO alert_states (rule_id, component, labels, phase, since, value_rank, floor_rank, raised_at,
                              acknowledged, opens, is_flapping, alert_id)
    SELECT rule_id, component, labels, 'firing', %(time)s,
           array_position(alert_levels(), level), 0, %(time)s,
           false, '{}', is_flapping, id
    FROM reopened
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, clear_since = NULL, missing_since = NULL,
        value_rank = excluded.value_rank, floor_rank = 0, raised_at = excluded.raised_at, acknowledged = false,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
)
SELECT count(*) FROM reopened

-- name: read
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, suppressed_by, is_flapping,
       (SELECT s.metric FROM series s WHERE s.id = system_alerts.series_id) AS metric,
       (SELECT r.runbook FROM alert_rules r WHERE r.name = system_alerts.rule) AS runbook
FROM system_alerts
WHERE id = ANY (%(ids)s)
ORDER BY id

-- name: transitions
SELECT alert_id, time, type, level, value, threshold, actor, comment
FROM system_alert_events
WHERE alert_id = ANY (%(ids)s)
ORDER BY id

-- name: active
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, suppressed_by, is_flapping,
       (SELECT s.metric FROM series s WHERE s.id = system_alerts.series_id) AS metric,
       (SELECT r.runbook FROM alert_rules r WHERE r.name = system_alerts.rule) AS runbook
FROM system_alerts
WHERE state <> 'resolved'
  AND id < %(before)s
  AND (%(level)s::text IS NULL OR level = %(level)s)
  AND (%(category)s::text IS NULL OR category = %(category)s)
  AND (%(component)s::text IS NULL OR component = %(component)s)
  AND (%(rule)s::text IS NULL OR rule = %(rule)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(suppressed)s::boolean IS NULL OR (suppressed_by <> '{}') = %(suppressed)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: past
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, suppressed_by, is_flapping,
       (SELECT s.metric FROM series s WHERE s.id = system_alerts.series_id) AS metric,
       (SELECT r.runbook FROM alert_rules r WHERE r.name = system_alerts.rule) AS runbook
FROM system_alerts
WHERE id < %(before)s
  AND opened_at < %(end)s AND (resolved_at IS NULL OR resolved_at >= %(start)s)
  AND (%(level)s::text IS NULL OR level = %(level)s)
  AND (%(category)s::text IS NULL OR category = %(category)s)
  AND (%(component)s::text IS NULL OR component = %(component)s)
  AND (%(rule)s::text IS NULL OR rule = %(rule)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(suppressed)s::boolean IS NULL
       OR EXISTS (SELECT FROM system_alert_events e WHERE e.alert_id = system_alerts.id
           AND e.type = 'suppressed') = %(suppressed)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: drop_old
-- An alert that was resolved before a time was also opened before it, so the index on opened_at can be used. The
-- foreign key deletes its transitions.
DELETE FROM system_alerts
WHERE id IN (
    SELECT id
    FROM system_alerts
    WHERE opened_at < %(before)s AND resolved_at < %(before)s
    ORDER BY opened_at
    LIMIT %(limit)s
)
