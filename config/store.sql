-- name: read
SELECT key, value, updated_at, updated_by FROM monitoring_config ORDER BY key

-- name: lock_table
LOCK TABLE monitoring_config IN SHARE ROW EXCLUSIVE MODE

-- name: write
INSERT INTO monitoring_config (key, value, updated_at, updated_by)
VALUES (%(key)s, %(value)s::jsonb, %(time)s, %(actor)s)
ON CONFLICT (key) DO UPDATE
SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by

-- name: log
INSERT INTO monitoring_config_history (key, old_value, new_value, changed_at, changed_by)
VALUES (%(key)s, (SELECT value FROM monitoring_config WHERE key = %(key)s), %(value)s::jsonb, %(time)s, %(actor)s)

-- name: history
SELECT id, key, old_value, new_value, changed_at, changed_by
FROM monitoring_config_history
WHERE id < %(before)s AND (%(key)s::text IS NULL OR key = %(key)s)
ORDER BY id DESC
LIMIT %(limit)s
