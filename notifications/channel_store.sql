-- name: count
SELECT count(*) FROM channels

-- name: new_id
SELECT nextval(pg_get_serial_sequence('channels', 'id'))

-- name: insert
-- A channel that follows the bus begins with what happens from now on.
WITH made AS (
    INSERT INTO channels (id, name, title, type, url, secret, settings, min_level, language, tz, enabled, updated_at,
        updated_by)
    VALUES (%(id)s, %(name)s, %(title)s, %(type)s, %(url)s, %(secret)s, %(settings)s, %(min_level)s, %(language)s,
            %(tz)s, %(enabled)s, %(updated_at)s, %(updated_by)s)
    RETURNING id, type, enabled
)
INSERT INTO event_cursors (channel_id, seq)
SELECT id, coalesce((SELECT max(seq) FROM events), 0) FROM made WHERE type = 'events' AND enabled

-- name: update
-- A channel follows the bus while it is enabled: what happens otherwise it never sends.
WITH changed AS (
    UPDATE channels
    SET name = %(name)s, title = %(title)s, type = %(type)s, url = %(url)s, secret = %(secret)s,
        settings = %(settings)s, min_level = %(min_level)s, language = %(language)s, tz = %(tz)s,
        enabled = %(enabled)s, updated_at = %(updated_at)s, updated_by = %(updated_by)s
    WHERE id = %(id)s
    RETURNING id, type, enabled
), ended AS (
    DELETE FROM event_cursors c USING changed WHERE c.channel_id = changed.id AND NOT changed.enabled
)
INSERT INTO event_cursors (channel_id, seq)
SELECT id, coalesce((SELECT max(seq) FROM events), 0) FROM changed WHERE type = 'events' AND enabled
ON CONFLICT DO NOTHING

-- name: delete
-- Deliveries that still wait for the channel fail.
WITH dropped AS (
    UPDATE deliveries
    SET state = 'failed', last_error = 'the channel was deleted'
    WHERE channel_id = %(id)s AND state IN ('pending', 'grouped')
)
DELETE FROM channels WHERE id = %(id)s

-- name: read
SELECT id, name, title, type, url, secret, settings, min_level, language, tz, enabled, updated_at, updated_by
FROM channels
WHERE (%(id)s::bigint IS NULL OR id = %(id)s) AND id < %(before)s
ORDER BY id DESC
LIMIT %(limit)s

-- name: read_named
SELECT id, name, title, type, url, secret, settings, min_level, language, tz, enabled, updated_at, updated_by
FROM channels
WHERE name = %(name)s

-- name: following_bus
-- Of some channels, those that send events of the bus.
SELECT name FROM channels WHERE type = 'events' AND name = ANY (%(names)s::text[]) ORDER BY name
