-- name: watch
INSERT INTO watched_components (component) SELECT unnest(%(components)s::text[]) ON CONFLICT DO NOTHING

-- name: watch_again
UPDATE watched_components SET let_go_at = NULL WHERE let_go_at IS NOT NULL AND component = ANY (%(components)s)

-- name: let_go
UPDATE watched_components SET let_go_at = %(at)s WHERE let_go_at IS NULL AND component <> ALL (%(components)s)

-- name: leaving
SELECT array_agg(component ORDER BY component) FROM watched_components WHERE let_go_at > %(since)s

-- name: drop_old
DELETE FROM watched_components WHERE let_go_at < %(before)s
