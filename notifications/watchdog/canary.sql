-- name: enqueue
-- Writes the newest canary that passed all stages, once, and deletes earlier ones. The stages:
--   1. Its sample in the 1m tier has the value that was written.
--   2. The maintenance has rolled up everything that is due. This applies only if there were canaries at that time.
WITH own AS (
    SELECT id FROM series WHERE metric = %(metric)s AND component = %(component)s
), canary AS (
    SELECT m.bucket AS time
    FROM own
    JOIN system_metrics_1m m ON m.series_id = own.id AND m.bucket >= %(since)s AND m.bucket < %(at)s
    WHERE m.last = extract(epoch FROM m.bucket)::double precision
      AND (
          (SELECT refreshed_to FROM tiers WHERE name = '1m') >= %(due)s
          OR NOT EXISTS (
              SELECT
              FROM system_metrics s
              WHERE s.series_id = own.id AND s.time >= %(due_since)s AND s.time < %(due)s
          )
      )
    ORDER BY m.bucket DESC
    LIMIT 1
), dropped AS (
    DELETE FROM notifications n
    USING canary c
    WHERE n.kind = 'canary' AND n.time < c.time AND n.time > c.time - interval '1 day'
), inserted AS (
    INSERT INTO notifications (kind, event, time, payload)
    SELECT 'canary', 'canary', c.time, '{}'
    FROM canary c
    WHERE NOT EXISTS (SELECT FROM notifications n WHERE n.kind = 'canary' AND n.time = c.time)
    RETURNING id, time
)
INSERT INTO deliveries (key, notification_id, channel, priority, created_at, next_at)
SELECT 'canary-' || extract(epoch FROM inserted.time)::bigint, inserted.id, 'watchdog', 3, %(now)s, '-infinity'
FROM inserted
ON CONFLICT (key) DO NOTHING

-- name: claim
-- A second dispatcher waits for the row lock of the first one, and then finds a later next_at.
UPDATE deliveries d
SET attempts = d.attempts + 1, attempted_at = %(now)s, next_at = %(again_at)s
FROM notifications n
WHERE n.id = d.notification_id AND n.kind = 'canary' AND n.time > %(since)s
  AND d.channel_id IS NULL AND d.state = 'pending' AND d.next_at <= %(now)s
  AND NOT EXISTS (SELECT FROM notification_pause)
RETURNING d.id, n.time

-- name: mark_sent
UPDATE deliveries SET state = 'sent', sent_at = %(now)s, status = %(status)s WHERE id = %(id)s
