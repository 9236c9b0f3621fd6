-- name: watch
INSERT INTO watched_components (component) SELECT unnest(%(components)s::text[]) ON CONFLICT DO NOTHING

-- name: watch_again
UPDATE watched_components SET removed_at = NULL WHERE removed_at IS NOT NULL AND component = ANY (%(components)s)

-- name: remove_others
UPDATE watched_components SET removed_at = %(at)s WHERE removed_at IS NULL AND component <> ALL (%(components)s)

-- name: leaving
SELECT array_agg(component ORDER BY component) FROM watched_components WHERE removed_at > %(since)s

-- name: drop_old
DELETE FROM watched_components WHERE removed_at < %(before)s
