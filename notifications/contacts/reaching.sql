-- name: destinations
-- The addresses of people: the verified ones, or all of them if the person has no verified address.
WITH found AS (
    SELECT c.id AS contact_id, c.name AS person, c.tz, c.mute_until, c.quiet_hours, c.quiet_min_level, a.channel_id,
           h.name AS channel, a.address, a.position, a.verified_at IS NOT NULL AS is_verified
    FROM contacts c
    JOIN contact_addresses a ON a.contact_id = c.id
    JOIN channels h ON h.id = a.channel_id
    WHERE c.name = ANY (%(people)s) AND h.enabled
)
SELECT contact_id, person, tz, mute_until, quiet_hours, quiet_min_level, channel_id, channel, address
FROM found f
WHERE is_verified OR NOT EXISTS (SELECT FROM found v WHERE v.contact_id = f.contact_id AND v.is_verified)
ORDER BY contact_id, position

-- name: insert_notification
INSERT INTO notifications (kind, event, time, payload)
VALUES (%(kind)s, %(event)s, %(time)s, %(payload)s)
RETURNING id

-- name: deliver
WITH written AS (
    INSERT INTO deliveries (key, notification_id, channel_id, channel, address, person, step, priority, created_at,
        next_at)
    SELECT g.key, %(notification_id)s, g.channel_id, g.channel, g.address, g.person, %(step)s, %(priority)s, g.time,
           g.time
    FROM unnest(%(keys)s::text[], %(channel_ids)s::bigint[], %(channels)s::text[], %(addresses)s::text[],
        %(people)s::text[],
                %(times)s::timestamptz[]) AS g (key, channel_id, channel, address, person, time)
    ON CONFLICT (key) DO NOTHING
    RETURNING channel_id, address
)
INSERT INTO delivery_addresses (channel_id, address)
SELECT DISTINCT channel_id, address FROM written
ON CONFLICT DO NOTHING
