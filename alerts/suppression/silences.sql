-- name: insert
INSERT INTO alert_silences (matcher, starts_at, ends_at, comment, created_at, created_by, updated_at, updated_by)
VALUES (%(matcher)s, %(starts_at)s, %(ends_at)s, %(comment)s, %(at)s, %(actor)s, %(at)s, %(actor)s)
RETURNING id

-- name: update
UPDATE alert_silences
SET matcher = %(matcher)s::jsonb, starts_at = %(starts_at)s::timestamptz, ends_at = %(ends_at)s::timestamptz,
    comment = %(comment)s, updated_at = %(at)s::timestamptz, updated_by = %(actor)s
WHERE id = %(id)s AND ends_at > %(at)s::timestamptz

-- name: finish
UPDATE alert_silences
SET starts_at = least(starts_at, %(at)s::timestamptz), ends_at = %(at)s::timestamptz,
    updated_at = %(at)s::timestamptz, updated_by = %(actor)s
WHERE id = %(id)s AND ends_at > %(at)s::timestamptz

-- name: read
SELECT id, matcher, starts_at, ends_at, comment, created_at, created_by, updated_at, updated_by,
       CASE WHEN ends_at <= %(at)s::timestamptz THEN 'ended'
            WHEN starts_at <= %(at)s::timestamptz THEN 'active' ELSE 'pending' END AS state
FROM alert_silences
WHERE id < %(before)s
  AND (%(id)s::bigint IS NULL OR id = %(id)s)
  AND (NOT %(active)s::boolean OR starts_at <= %(at)s::timestamptz AND ends_at > %(at)s::timestamptz)
ORDER BY id DESC
LIMIT %(limit)s
