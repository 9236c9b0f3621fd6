-- name: read
SELECT d.id, d.key, n.kind, n.event, d.channel, d.address, d.person, d.step, d.state, d.attempts, d.created_at,
       d.attempted_at, d.next_at, d.sent_at, d.duration_s, d.status, d.answer, d.last_error, d.group_id,
       n.payload -> 'alert' AS alert, jsonb_array_length(n.payload -> 'seqs') AS events
FROM deliveries d
JOIN notifications n ON n.id = d.notification_id
WHERE d.id < %(before)s AND n.kind <> 'canary'
  AND (%(id)s::bigint IS NULL OR d.id = %(id)s)
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
  AND (%(channel)s::text IS NULL OR d.channel = %(channel)s)
  AND (%(alert_id)s::bigint IS NULL OR n.alert_id = %(alert_id)s)
ORDER BY d.id DESC
LIMIT %(limit)s

-- name: last_of_channels
-- The newest try of each channel, by one index lookup for each of its addresses. The channel's own address is added,
-- because a test message uses it without an entry in delivery_addresses.
SELECT DISTINCT ON (a.channel_id) a.channel_id, d.id, n.kind, n.event, d.state, d.attempted_at, d.last_error
FROM (
    SELECT unnest(%(channel_ids)s::bigint[]) AS channel_id, '' AS address
    UNION
    SELECT channel_id, address FROM delivery_addresses WHERE channel_id = ANY (%(channel_ids)s)
) a
CROSS JOIN LATERAL (
    SELECT id, notification_id, state, attempted_at, last_error
    FROM deliveries
    WHERE channel_id = a.channel_id AND address = a.address AND attempted_at IS NOT NULL
    ORDER BY attempted_at DESC
    LIMIT 1
) d
JOIN notifications n ON n.id = d.notification_id
ORDER BY a.channel_id, d.attempted_at DESC

-- name: replay
-- The key stays the same, so that a receiver recognizes a message that it already has. Other members of the same group
-- stay as they are.
WITH replayed AS (
    UPDATE deliveries
    SET state = 'pending', next_at = %(now)s, created_at = %(now)s, last_error = NULL, group_id = NULL
    WHERE id = %(id)s AND state IN ('failed', 'sent', 'skipped') AND channel_id IS NOT NULL
    RETURNING channel_id, address
), served AS (
    UPDATE delivery_addresses a
    SET retry_at = '-infinity'
    FROM replayed r
    WHERE a.channel_id = r.channel_id AND a.address = r.address
)
SELECT count(*) FROM replayed

-- name: drop_old
-- Deleting a notification deletes its deliveries. Two kinds are kept: those that still wait, and those about an alert
-- that is open, because its addresses must also get the message that the alert is resolved.
DELETE FROM notifications
WHERE id IN (
    SELECT n.id
    FROM notifications n
    WHERE n.time < %(before)s
      AND NOT EXISTS (SELECT FROM deliveries d WHERE d.notification_id = n.id AND d.state IN ('pending', 'grouped'))
      AND NOT EXISTS (SELECT FROM system_alerts a WHERE a.id = n.alert_id AND a.state <> 'resolved')
    ORDER BY n.time
    LIMIT %(limit)s
)
