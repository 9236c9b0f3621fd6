-- name: open_session
INSERT INTO sessions (hash, key_id, name, role, created_at, expires_at)
VALUES (%(hash)s, %(key_id)s::integer, %(name)s, %(role)s, %(time)s, %(expires_at)s)

-- name: find_session
SELECT s.name, s.role
FROM sessions s
LEFT JOIN api_keys k ON k.id = s.key_id
WHERE s.hash = %(hash)s AND s.expires_at > %(time)s AND k.revoked_at IS NULL

-- name: close_session
DELETE FROM sessions WHERE hash = %(hash)s

-- name: close_sessions
DELETE FROM sessions WHERE %(name)s::text IS NULL OR name = %(name)s

-- name: drop_expired
WITH sessions_gone AS (
    DELETE FROM sessions WHERE expires_at <= %(time)s
)
DELETE FROM sign_in_links WHERE expires_at <= %(time)s

-- name: offer_link
INSERT INTO sign_in_links (hash, expires_at) VALUES (%(hash)s, %(expires_at)s)

-- name: take_link
DELETE FROM sign_in_links WHERE hash = %(hash)s AND expires_at > %(time)s
