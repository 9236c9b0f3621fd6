-- name: add
INSERT INTO message_links (id_hash, action, alert_id, person, expires_at)
VALUES (%(id_hash)s, %(action)s, %(alert_id)s, %(person)s, %(expires_at)s)

-- name: find
SELECT l.action, l.alert_id, l.person, l.used_at, a.title, a.state, a.component
FROM message_links l
JOIN system_alerts a ON a.id = l.alert_id
WHERE l.id_hash = %(id_hash)s

-- name: use
-- The row stays locked until the transaction ends, so that only one of two simultaneous uses succeeds.
UPDATE message_links SET used_at = %(now)s WHERE id_hash = %(id_hash)s AND used_at IS NULL

-- name: drop_expired
DELETE FROM message_links WHERE expires_at < %(now)s
