-- name: count
SELECT count(*) FROM schedules

-- name: insert
-- Recording starts now, because nothing is known about the time before.
INSERT INTO schedules (name, title, tz, layers, temporary, recorded_until, updated_at, updated_by)
VALUES (%(name)s, %(title)s, %(tz)s, %(layers)s, %(temporary)s, %(now)s, %(now)s, %(actor)s)

-- name: update
UPDATE schedules
SET title = %(title)s, tz = %(tz)s, layers = %(layers)s, temporary = %(temporary)s, updated_at = %(now)s,
    updated_by = %(actor)s
WHERE name = %(name)s

-- name: delete
DELETE FROM schedules WHERE name = %(name)s

-- name: lock
SELECT id FROM schedules WHERE name = %(name)s FOR UPDATE

-- name: names
SELECT name FROM schedules ORDER BY id

-- name: read
-- Schedules with the overrides that are not completely recorded, and with the recorded shifts of a range. The
-- microsecond makes the range include the shift that ends at recorded_until: hand-overs are found by comparing with it.
SELECT s.id, s.name, s.title, s.tz, s.layers, s.temporary, s.recorded_until, s.updated_at, s.updated_by,
       EXISTS (SELECT FROM calendar_feeds f WHERE f.schedule_id = s.id) AS has_calendar,
       coalesce((
           SELECT jsonb_agg(
               jsonb_build_object(
                   'id', o.id, 'starts_at', o.starts_at, 'ends_at', o.ends_at, 'in', o.in_person, 'out', o.out_person,
                   'everyone', o.is_everyone, 'created_at', o.created_at, 'created_by', o.created_by) ORDER BY o.id)
           FROM schedule_overrides o
           WHERE o.schedule_id = s.id AND o.ends_at > s.recorded_until
       ), '[]') AS overrides,
       coalesce((
           SELECT jsonb_agg(
               jsonb_build_object('starts_at', h.starts_at, 'ends_at', h.ends_at, 'people',
                   h.people) ORDER BY h.starts_at)
           FROM (
               SELECT r.starts_at, r.ends_at, r.people
               FROM on_call_shifts r
               WHERE r.schedule_id = s.id AND r.starts_at < %(end)s
                 AND r.ends_at > least(%(start)s, s.recorded_until - interval '1 microsecond')
               ORDER BY r.starts_at
               LIMIT %(shifts)s
           ) h
       ), '[]') AS recorded
FROM schedules s
WHERE (%(name)s::text IS NULL OR s.name = %(name)s) AND s.id > %(after)s
ORDER BY s.id
LIMIT %(limit)s

-- name: record
-- A shift that continues extends its row instead of adding one.
WITH given AS (
    SELECT starts_at, ends_at, string_to_array(people, ',') AS people
    FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[], %(people)s::text[]) AS g (starts_at, ends_at,
        people)
), extended AS (
    UPDATE on_call_shifts h
    SET ends_at = g.ends_at
    FROM given g
    WHERE h.schedule_id = %(id)s AND h.ends_at = g.starts_at AND h.people = g.people
    RETURNING g.starts_at
)
INSERT INTO on_call_shifts (schedule_id, starts_at, ends_at, people)
SELECT %(id)s, starts_at, ends_at, people
FROM given
WHERE starts_at NOT IN (SELECT starts_at FROM extended)

-- name: set_recorded_until
UPDATE schedules SET recorded_until = %(now)s WHERE id = %(id)s

-- name: add_override
INSERT INTO schedule_overrides (schedule_id, starts_at, ends_at, in_person, out_person, is_everyone, created_at,
    created_by)
SELECT id, %(starts_at)s, %(ends_at)s, %(in_person)s, %(out_person)s, %(is_everyone)s, %(now)s, %(actor)s
FROM schedules
WHERE name = %(name)s
RETURNING id

-- name: delete_override
DELETE FROM schedule_overrides o
USING schedules s
WHERE s.name = %(name)s AND o.schedule_id = s.id AND o.id = %(id)s AND o.ends_at > s.recorded_until
