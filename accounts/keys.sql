-- name: create
INSERT INTO api_keys (name, role, component, labels, hash, prefix, created_at, created_by)
VALUES (%(name)s, %(role)s, %(component)s, %(labels)s::jsonb, %(hash)s, %(prefix)s, %(time)s, %(actor)s)
RETURNING id, name, role, component, labels, prefix, created_at, created_by, revoked_at

-- name: list
SELECT id, name, role, component, labels, prefix, created_at, created_by, revoked_at
FROM api_keys
ORDER BY id

-- name: revoke
UPDATE api_keys SET revoked_at = %(time)s
WHERE name = %(name)s AND revoked_at IS NULL

-- name: find
SELECT id, name, role, component, labels FROM api_keys WHERE hash = %(hash)s AND revoked_at IS NULL

-- name: find_valid
SELECT coalesce(array_agg(hash), '{}') FROM api_keys WHERE hash = ANY(%(hashes)s::bytea[]) AND revoked_at IS NULL

-- name: has_admin
SELECT EXISTS (SELECT FROM api_keys WHERE role = 'admin' AND revoked_at IS NULL)
