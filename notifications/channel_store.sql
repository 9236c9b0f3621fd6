-- name: new_id
SELECT nextval(pg_get_serial_sequence('channels', 'id'))

-- name: insert
INSERT INTO channels (id, name, title, type, url, secret, settings, min_level, language, tz, enabled, updated_at,
    updated_by)
VALUES (%(id)s, %(name)s, %(title)s, %(type)s, %(url)s, %(secret)s, %(settings)s, %(min_level)s, %(language)s, %(tz)s,
        %(enabled)s, %(updated_at)s, %(updated_by)s)

-- name: update
UPDATE channels
SET name = %(name)s, title = %(title)s, type = %(type)s, url = %(url)s, secret = %(secret)s, settings = %(settings)s,
    min_level = %(min_level)s, language = %(language)s, tz = %(tz)s, enabled = %(enabled)s, updated_at = %(updated_at)s,
    updated_by = %(updated_by)s
WHERE id = %(id)s

-- name: delete
-- What still waits for it is never sent.
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
