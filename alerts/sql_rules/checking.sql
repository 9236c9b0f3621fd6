-- name: is_embedded
-- The embedded engine runs no SQL rules.
SELECT version() LIKE '%%emcc%%'
