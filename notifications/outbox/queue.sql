-- name: claim
-- Leases addresses that have due deliveries, the least recently served first. The lease makes sure that one process at
-- a time serves an address, in order. SKIP LOCKED prevents two simultaneous claims from waiting for each other, and
-- from taking the same rows.
WITH free AS (
    SELECT a.channel_id, a.address
    FROM delivery_addresses a
    JOIN channels c ON c.id = a.channel_id AND c.enabled
    WHERE a.retry_at <= %(now)s AND a.lease_until <= %(now)s
      AND NOT EXISTS (SELECT FROM notification_pause)
      AND EXISTS (
          SELECT
          FROM deliveries d
          WHERE d.channel_id = a.channel_id AND d.address = a.address AND d.state = 'pending' AND d.next_at <= %(now)s
      )
    ORDER BY a.served_at
    LIMIT %(at_most)s
    FOR UPDATE OF a SKIP LOCKED
)
UPDATE delivery_addresses a
SET lease = %(lease)s, lease_until = %(lease_until)s, served_at = %(now)s
FROM free
WHERE a.channel_id = free.channel_id AND a.address = free.address
RETURNING a.channel_id, a.address, a.failures

-- name: release_all
-- Leases that the previous process of the same data directory held when it died.
UPDATE delivery_addresses SET lease = NULL, lease_until = '-infinity' WHERE lease = %(lease)s

-- name: renew
-- Fails while notifications are paused, so that whoever serves an address stops before the next message.
UPDATE delivery_addresses
SET lease_until = %(lease_until)s
WHERE channel_id = %(channel_id)s AND address = %(address)s AND lease = %(lease)s AND lease_until > %(now)s
  AND NOT EXISTS (SELECT FROM notification_pause)

-- name: release
UPDATE delivery_addresses
SET lease = NULL, lease_until = '-infinity', failures = %(failures)s, retry_at = %(retry_at)s
WHERE channel_id = %(channel_id)s AND address = %(address)s AND lease = %(lease)s

-- name: waiting
SELECT count(*) AS waiting, min(created_at) AS oldest
FROM deliveries
WHERE channel_id = %(channel_id)s AND address = %(address)s AND state = 'pending' AND next_at <= %(now)s

-- name: attempts
-- The tries of an address within the period of its limit.
SELECT attempted_at
FROM deliveries
WHERE channel_id = %(channel_id)s AND address = %(address)s AND attempted_at > %(since)s
ORDER BY attempted_at DESC
LIMIT %(at_most)s

-- name: next
-- The delivery to send next, with the provider's id of the first message about the same alert to this address.
-- Deliveries that failed before come after those that were never tried, so that a message that the provider keeps
-- refusing does not block the others. The last three NOT EXISTS keep the order within one alert, within one group of a
-- route, and between a group and what follows of its alerts. Events of the bus keep their order completely: the first
-- one is next even if it failed a moment ago, and `retry_at` of the address says when to try it again.
-- OFFSET 0 keeps each NOT EXISTS a look into an index. As joins they compare each waiting delivery with each other one,
-- because in a storm the statistics still say that none waits. LATERAL ends the search at the first delivery.
SELECT found.*, coalesce((
           SELECT first.reference
           FROM notifications earlier
           JOIN deliveries first ON first.notification_id = earlier.id
           WHERE earlier.alert_id = found.alert_id AND first.channel_id = %(channel_id)s AND first.address = %(address)s
             AND first.state = 'sent' AND first.reference <> ''
           ORDER BY first.id
           LIMIT 1
       ), '') AS earlier
FROM (VALUES (false), (true)) AS tried (before)
CROSS JOIN LATERAL (
    SELECT d.id, d.key, d.notification_id, d.step, d.person, d.attempts, d.created_at, n.kind, n.event, n.time,
           n.payload, n.alert_id
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id
    WHERE d.channel_id = %(channel_id)s AND d.address = %(address)s AND d.state = 'pending'
      AND (d.attempts > 0) = tried.before
      AND (d.next_at <= %(now)s OR n.kind = 'events')
      AND NOT (n.kind = 'events' AND EXISTS (
          SELECT
          FROM deliveries sooner
          WHERE sooner.channel_id = d.channel_id AND sooner.address = d.address AND sooner.priority = d.priority
            AND sooner.id < d.id AND sooner.state = 'pending'
          OFFSET 0
      ))
      AND NOT EXISTS (
          SELECT
          FROM deliveries sooner
          WHERE sooner.channel_id = d.channel_id AND sooner.address = d.address AND sooner.alert_id = d.alert_id
            AND sooner.id < d.id AND sooner.state = 'pending'
          OFFSET 0
      )
      AND NOT EXISTS (
          SELECT
          FROM deliveries sooner
          WHERE sooner.channel_id = d.channel_id AND sooner.address = d.address
            AND sooner.notification_group_id = d.notification_group_id AND sooner.id < d.id AND sooner.state = 'pending'
          OFFSET 0
      )
      AND NOT EXISTS (
          SELECT
          FROM deliveries carrier
          JOIN deliveries sooner ON sooner.group_id = carrier.id AND sooner.state = 'grouped'
          WHERE carrier.channel_id = d.channel_id AND carrier.address = d.address AND carrier.alert_id IS NULL
            AND carrier.state = 'pending' AND sooner.alert_id = d.alert_id AND sooner.id < d.id
          OFFSET 0
      )
    ORDER BY d.priority, d.id
    LIMIT 1
) found
ORDER BY tried.before
LIMIT 1

-- name: form_group
-- Creates one delivery that carries the next ones. They stay its members, whether it succeeds or fails.
WITH member AS (
    SELECT d.id, d.channel, d.person
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id AND n.kind = 'alert'
    WHERE d.channel_id = %(channel_id)s AND d.address = %(address)s AND d.state = 'pending' AND d.next_at <= %(now)s
      AND d.group_id IS NULL
    ORDER BY d.priority, d.id
    LIMIT %(at_most)s
), inserted AS (
    INSERT INTO notifications (kind, event, time, payload)
    SELECT 'alert', 'group', %(now)s, '{}' FROM member LIMIT 1
    RETURNING id
), carrier AS (
    INSERT INTO deliveries (key, notification_id, channel_id, channel, address, person, priority, created_at, next_at)
    SELECT 'group-' || %(token)s::text, inserted.id, %(channel_id)s, min(member.channel), %(address)s,
           min(member.person),
           0,
           %(now)s, %(now)s
    FROM inserted, member
    GROUP BY inserted.id
    RETURNING id
), joined AS (
    -- Members may be carriers themselves, such as messages of route groups. Their members move to the new carrier.
    UPDATE deliveries d
    SET state = 'grouped', group_id = carrier.id
    FROM carrier
    WHERE d.id = ANY (ARRAY(SELECT id FROM member)) OR d.group_id = ANY (ARRAY(SELECT id FROM member))
)
SELECT id FROM carrier

-- name: members
-- The alerts that the message of a group lists: each once, in the state of the newest notification about it. A group of
-- a route also lists alerts that have not changed; their ids are in the payload, and the newest notification that is
-- not newer than the message has their state.
WITH whole AS (
    SELECT n.id, n.alert_id, n.payload
    FROM deliveries d
    JOIN notifications n ON n.id = d.notification_id
    WHERE d.id = %(id)s OR d.group_id = %(id)s
), listed AS (
    SELECT alert_id, id FROM whole WHERE alert_id IS NOT NULL
    UNION ALL
    SELECT a.alert_id::bigint, (
               SELECT max(earlier.id)
               FROM notifications earlier
               WHERE earlier.alert_id = a.alert_id::bigint AND earlier.id <= w.id
           )
    FROM whole w
    CROSS JOIN LATERAL jsonb_array_elements_text(w.payload -> 'alert_ids') a (alert_id)
)
SELECT n.event, n.payload
FROM (SELECT max(id) AS id FROM listed GROUP BY alert_id) l
JOIN notifications n ON n.id = l.id
ORDER BY n.id

-- name: sent
-- Also marks the members of a group. Only the member that was sent itself counts as a try toward the rate limit, so the
-- others get no attempted_at.
UPDATE deliveries d
SET state = 'sent', attempts = d.attempts + 1, attempted_at = CASE WHEN d.id = %(id)s THEN %(now)s::timestamptz END,
    duration_s = CASE WHEN d.id = %(id)s THEN %(duration_s)s::double precision END, sent_at = %(now)s,
    status = %(status)s, answer = %(answer)s, last_error = NULL, reference = %(reference)s
WHERE d.id = %(id)s AND d.state = 'pending' OR d.group_id = %(id)s AND d.state = 'grouped'

-- name: postpone
UPDATE deliveries
SET attempts = attempts + 1, attempted_at = %(now)s, next_at = %(next_at)s, status = %(status)s, answer = %(answer)s,
    last_error = %(error)s, duration_s = %(duration_s)s
WHERE id = %(id)s AND state = 'pending'

-- name: fail
-- Final. Also marks the members of a group.
UPDATE deliveries d
SET state = 'failed', attempts = d.attempts + 1, attempted_at = CASE WHEN d.id = %(id)s THEN %(now)s::timestamptz END,
    duration_s = CASE WHEN d.id = %(id)s THEN %(duration_s)s::double precision END, status = %(status)s,
    answer = %(answer)s, last_error = %(error)s
WHERE d.id = %(id)s AND d.state = 'pending' OR d.group_id = %(id)s AND d.state = 'grouped'
