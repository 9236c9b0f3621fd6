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
-- Whatever the backup says of a pause: this one is of the copy. A statement without parameters, since psql runs it too.
INSERT INTO notification_pause (paused_at, paused_by, reason)
VALUES (now(), 'vigia restore', 'this database was restored from a backup')
ON CONFLICT (id) DO UPDATE
SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason

-- name: resume
DELETE FROM notification_pause

-- name: skip_outdated
-- What is of no use any more, by address:
--   1. Of an alert that is resolved, everything, where nobody was told of it. Else its newest message, which says so.
--   2. Of an alert that is open, everything but its newest message: that one says how the alert is.
--   3. What is about no alert, such as a hand-over, when it is old.
-- What is in a group goes with the group. Of events of the bus, nothing is left out.
WITH waiting AS (
    SELECT d.id, n.kind, d.created_at, a.state = 'resolved' AS is_resolved,
           d.id < max(d.id) OVER (PARTITION BY d.channel_id, d.address, d.alert_id) AS is_followed,
           EXISTS (
               SELECT
               FROM deliveries earlier
               WHERE earlier.channel_id = d.channel_id AND earlier.address = d.address
                 AND earlier.alert_id = d.alert_id AND earlier.state = 'sent'
           ) AS is_told
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id
    LEFT JOIN system_alerts a ON a.id = d.alert_id
    WHERE d.state = 'pending' AND d.notification_group_id IS NULL
      AND (d.alert_id IS NOT NULL OR n.kind NOT IN ('alert', 'events'))
), outdated AS (
    SELECT id,
           CASE
               WHEN kind <> 'alert' THEN 'too old when notifications were resumed'
               WHEN is_resolved AND NOT is_told THEN 'the alert was resolved while notifications were paused'
               ELSE 'a newer message about the alert is sent instead'
           END AS why
    FROM waiting
    WHERE CASE
              WHEN kind <> 'alert' THEN created_at < %(old)s
              ELSE is_resolved AND NOT is_told OR is_followed
          END
)
UPDATE deliveries d
SET state = 'skipped', last_error = o.why
FROM outdated o
WHERE d.id = o.id

-- name: leave_groups
-- Alerts that began and ended during the pause: no message of their group is to list them.
DELETE FROM notification_group_members m
USING system_alerts a
WHERE a.id = m.alert_id AND a.state = 'resolved' AND NOT m.is_sent

-- name: begin_anew
-- What waits is given up a day after this, not a day after the moment at which it could not be sent.
UPDATE deliveries SET created_at = %(now)s WHERE state = 'pending' AND created_at < %(now)s
