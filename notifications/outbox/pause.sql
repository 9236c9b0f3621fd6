-- name: read
SELECT p.id IS NOT NULL AS paused, p.paused_at, p.paused_by, p.reason,
       (SELECT count(*) FROM deliveries d WHERE d.state = 'pending' AND d.channel_id IS NOT NULL) AS waiting
FROM (SELECT) one
LEFT JOIN notification_pause p ON true

-- name: pause
INSERT INTO notification_pause (paused_at, paused_by, reason)
VALUES (%(now)s, %(actor)s, %(reason)s)
ON CONFLICT (id) DO NOTHING

-- name: pause_restored
-- Overwrites a pause that the backup contains, because this pause concerns the copy. The statement has no parameters,
-- because psql also runs it.
INSERT INTO notification_pause (paused_at, paused_by, reason)
VALUES (now(), 'vigia restore', 'this database was restored from a backup')
ON CONFLICT (id) DO UPDATE
SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason

-- name: resume
DELETE FROM notification_pause

-- name: skip_outdated
-- Skips deliveries that are outdated. For each address:
--   1. About a resolved alert: all of them if none was sent before the pause. Otherwise all but the newest, which
--      says that the alert is resolved.
--   2. About an open alert: all but the newest, which has the current state.
--   3. About no alert, such as a hand-over: those older than `old`.
-- Deliveries of a group of a route are left alone, because they list more than one alert. Events of the bus are never
-- skipped.
WITH waiting AS (
    SELECT d.id, n.kind, d.created_at, a.state = 'resolved' AS is_resolved,
           d.id < max(d.id) OVER (PARTITION BY d.channel_id, d.address, d.alert_id) AS is_followed,
           EXISTS (
               SELECT
               FROM deliveries earlier
               WHERE earlier.channel_id = d.channel_id AND earlier.address = d.address
                 AND earlier.alert_id = d.alert_id AND earlier.state = 'sent'
           ) AS was_notified
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id
    LEFT JOIN system_alerts a ON a.id = d.alert_id
    WHERE d.state = 'pending' AND d.notification_group_id IS NULL
      AND (d.alert_id IS NOT NULL OR n.kind NOT IN ('alert', 'events'))
), outdated AS (
    SELECT id,
           CASE
               WHEN kind <> 'alert' THEN 'too old when notifications were resumed'
               WHEN is_resolved AND NOT was_notified THEN 'the alert was resolved while notifications were paused'
               ELSE 'a newer message about the alert is sent instead'
           END AS why
    FROM waiting
    WHERE CASE
              WHEN kind <> 'alert' THEN created_at < %(old)s
              ELSE is_resolved AND NOT was_notified OR is_followed
          END
)
UPDATE deliveries d
SET state = 'skipped', last_error = o.why
FROM outdated o
WHERE d.id = o.id

-- name: leave_groups
-- Removes alerts that opened and resolved during the pause from their groups, so that no message lists them.
DELETE FROM notification_group_members m
USING system_alerts a
WHERE a.id = m.alert_id AND a.state = 'resolved' AND NOT m.is_sent

-- name: begin_anew
-- Deliveries are given up a day after their creation. Restart that day, because the pause made sending impossible.
UPDATE deliveries SET created_at = %(now)s WHERE state = 'pending' AND created_at < %(now)s
