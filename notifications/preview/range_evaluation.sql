-- name: alerts
-- Alerts that were open at any time in a range, oldest first.
SELECT a.id, a.rule, a.level, a.category, a.component, a.labels, a.opened_at
FROM system_alerts a
WHERE a.opened_at < %(end)s AND (a.resolved_at IS NULL OR a.resolved_at >= %(start)s)
ORDER BY a.opened_at, a.id
LIMIT %(limit)s

-- name: transitions
-- The transitions of alerts from their opening to the end of the range, in order. The start of the range is no limit:
-- an alert that opened before it still has steps inside it.
SELECT e.alert_id, e.time, e.type
FROM system_alert_events e
WHERE e.alert_id = ANY (%(ids)s::bigint[]) AND e.time < %(end)s
  AND e.type IN ('opened', 'reopened', 'unsuppressed', 'suppressed', 'acknowledged', 'resolved')
ORDER BY e.alert_id, e.id
