-- name: insert
INSERT INTO maintenance_windows (
    name, matcher, repeat, starts_at, ends_at, tz, local_time, duration_s, weekdays, days, comment, enabled,
    updated_at, updated_by
)
VALUES (
    %(name)s, %(matcher)s::jsonb, %(repeat)s, %(starts_at)s::timestamptz, %(ends_at)s::timestamptz, %(tz)s,
    %(time)s::time, %(duration_s)s::integer, %(weekdays)s::text[], %(days)s::integer[], %(comment)s,
    %(enabled)s, %(at)s, %(actor)s
)
ON CONFLICT (name) WHERE removed_at IS NULL DO NOTHING
RETURNING id

-- name: update
-- Changes nothing if another window has the name: `suppressed_by` of alerts names windows, so names must be unique.
UPDATE maintenance_windows
SET name = %(name)s, matcher = %(matcher)s::jsonb, repeat = %(repeat)s, starts_at = %(starts_at)s::timestamptz,
    ends_at = %(ends_at)s::timestamptz, tz = %(tz)s, local_time = %(time)s::time,
    duration_s = %(duration_s)s::integer, weekdays = %(weekdays)s::text[], days = %(days)s::integer[],
    comment = %(comment)s, enabled = %(enabled)s, updated_at = %(at)s, updated_by = %(actor)s
WHERE id = %(id)s AND removed_at IS NULL
  AND NOT EXISTS (SELECT FROM maintenance_windows o WHERE o.name = %(name)s AND o.id <> %(id)s AND o.removed_at IS NULL)

-- name: end
-- The row stays, because previews of the past still need the window.
UPDATE maintenance_windows SET removed_at = %(at)s, updated_at = %(at)s, updated_by = %(actor)s
WHERE id = %(id)s AND removed_at IS NULL

-- name: read
SELECT id, name, matcher, repeat, starts_at, ends_at, tz, to_char(local_time, 'HH24:MI') AS time,
       duration_s, weekdays, days, comment, enabled, updated_at, updated_by
FROM maintenance_windows
WHERE removed_at IS NULL AND id > %(after)s AND (%(id)s::bigint IS NULL OR id = %(id)s)
ORDER BY id
LIMIT %(limit)s
