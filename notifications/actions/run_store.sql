-- name: opened
-- Alerts that opened or became more severe by these transitions, and that are not suppressed.
SELECT e.id AS transition_id, a.id AS alert_id, e.level, a.category, a.component, a.rule, a.labels
FROM system_alert_events e
JOIN system_alerts a ON a.id = e.alert_id AND a.suppressed_by = '{}'
WHERE e.id = ANY (%(ids)s::bigint[]) AND e.type IN ('opened', 'reopened', 'unsuppressed', 'escalated')
ORDER BY e.id

-- name: request
-- Writes runs, unless the action was started recently. The caller holds the evaluation clock, so no other transaction
-- can run this at the same time, and the NOT EXISTS needs no lock of its own.
INSERT INTO action_runs (action, kind, alert_id, transition_id, requested_at, run_at)
SELECT %(action)s, %(kind)s, w.alert_id, w.transition_id, %(now)s, %(run_at)s
FROM unnest(%(alert_ids)s::bigint[], %(transition_ids)s::bigint[]) AS w (alert_id, transition_id)
WHERE NOT EXISTS (
    SELECT
    FROM action_runs r
    WHERE r.action = %(action)s AND r.requested_at > %(since)s AND r.state <> 'skipped'
)
ON CONFLICT DO NOTHING

-- name: take_back
-- The runs that the previous process of the same data directory had leased when it died.
UPDATE action_runs SET state = 'waiting', lease = NULL
WHERE kind = %(of_kind)s AND state = 'running' AND lease = %(lease)s

-- name: claim
-- The run that has been due longest. None while notifications are paused, as they are in a restored copy.
UPDATE action_runs r
SET state = 'running', attempts = r.attempts + 1, lease = %(lease)s, lease_until = %(lease_until)s
FROM (
    SELECT id
    FROM action_runs
    WHERE kind = %(of_kind)s
      AND (state = 'waiting' AND run_at <= %(now)s OR state = 'running' AND lease_until <= %(now)s)
      AND NOT EXISTS (SELECT FROM notification_pause)
    ORDER BY run_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) due
WHERE r.id = due.id
RETURNING r.id, r.action, r.kind, r.alert_id, r.transition_id, r.requested_at, r.attempts

-- name: finish
UPDATE action_runs SET state = %(state)s, finished_at = %(now)s, result = %(result)s, lease = NULL WHERE id = %(id)s

-- name: try_again
UPDATE action_runs SET state = 'waiting', run_at = %(run_at)s, result = %(result)s, lease = NULL WHERE id = %(id)s

-- name: read
SELECT r.id, r.action, r.kind, r.alert_id, a.title AS alert, r.requested_at, r.run_at, r.state, r.attempts,
       r.finished_at, r.result
FROM action_runs r
JOIN system_alerts a ON a.id = r.alert_id
WHERE r.id < %(before)s
ORDER BY r.id DESC
LIMIT %(limit)s
