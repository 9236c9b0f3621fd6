-- name: count
SELECT count(*) FROM contacts

-- name: insert
INSERT INTO contacts (name, title, tz, language, mute_until, quiet_hours, quiet_min_level, updated_at, updated_by)
VALUES (%(name)s, %(title)s, %(tz)s, %(language)s, %(mute_until)s, %(quiet_hours)s, %(quiet_min_level)s, %(now)s,
    %(actor)s)

-- name: update
UPDATE contacts
SET title = %(title)s, tz = %(tz)s, language = %(language)s, mute_until = %(mute_until)s, quiet_hours = %(quiet_hours)s,
    quiet_min_level = %(quiet_min_level)s, updated_at = %(now)s, updated_by = %(actor)s
WHERE name = %(name)s

-- name: write_addresses
-- An address that stays keeps its row, and with it its verification.
WITH wanted AS (
    SELECT c.id AS contact_id, w.channel_id, w.address, w.position
    FROM unnest(%(channel_ids)s::bigint[], %(addresses)s::text[]) WITH ORDINALITY AS w (channel_id, address, position)
    JOIN contacts c ON c.name = %(name)s
), removed AS (
    DELETE FROM contact_addresses a
    USING contacts c
    WHERE c.name = %(name)s AND a.contact_id = c.id
      AND NOT EXISTS (SELECT FROM wanted w WHERE w.channel_id = a.channel_id AND w.address = a.address)
)
INSERT INTO contact_addresses (contact_id, channel_id, address, position)
SELECT contact_id, channel_id, address, position FROM wanted
ON CONFLICT (contact_id, channel_id, address) DO UPDATE SET position = excluded.position

-- name: delete
DELETE FROM contacts WHERE name = %(name)s

-- name: drop_waiting
-- Deliveries that wait for an address that the contact no longer has fail.
UPDATE deliveries d
SET state = 'failed', last_error = 'the contact no longer has this address'
WHERE d.person = %(name)s AND d.state IN ('pending', 'grouped')
  AND NOT EXISTS (
      SELECT
      FROM contacts c
      JOIN contact_addresses a ON a.contact_id = c.id
      WHERE c.name = d.person AND a.channel_id = d.channel_id AND a.address = d.address
  )

-- name: read
SELECT c.id, c.name, c.title, c.tz, c.language, c.mute_until, c.quiet_hours, c.quiet_min_level, c.updated_at,
       c.updated_by,
       coalesce((
           SELECT jsonb_agg(
               jsonb_build_object('channel', h.name, 'address', a.address, 'verified_at',
                   a.verified_at) ORDER BY a.position)
           FROM contact_addresses a
           JOIN channels h ON h.id = a.channel_id
           WHERE a.contact_id = c.id
       ), '[]') AS addresses,
       EXISTS (SELECT FROM calendar_feeds f WHERE f.contact_id = c.id) AS has_calendar
FROM contacts c
WHERE (%(name)s::text IS NULL OR c.name = %(name)s) AND c.id > %(after)s
ORDER BY c.id
LIMIT %(limit)s

-- name: lock
-- Locks contacts against deletion until the transaction ends. Other changes of a contact are not blocked.
SELECT name FROM contacts WHERE name = ANY (%(names)s) ORDER BY id FOR KEY SHARE

-- name: verified
SELECT address FROM contact_addresses WHERE channel_id = %(channel_id)s AND verified_at IS NOT NULL

-- name: people_of_channel
SELECT DISTINCT c.name
FROM contact_addresses a
JOIN contacts c ON c.id = a.contact_id
WHERE a.channel_id = %(channel_id)s
ORDER BY c.name
