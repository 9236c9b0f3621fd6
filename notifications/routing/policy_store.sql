-- name: lock_table
-- Blocks other changes of policies, and deletions of their targets, until the transaction ends. Reads are not blocked.
LOCK TABLE policies IN SHARE ROW EXCLUSIVE MODE

-- name: insert
INSERT INTO policies (name, title, steps, repeat, acknowledgement_expires_s, updated_at, updated_by)
VALUES (%(name)s, %(title)s, %(steps)s, %(repeat)s, %(acknowledgement_expires_s)s, %(now)s, %(actor)s)

-- name: update
UPDATE policies
SET title = %(title)s, steps = %(steps)s, repeat = %(repeat)s,
    acknowledgement_expires_s = %(acknowledgement_expires_s)s,
    updated_at = %(now)s, updated_by = %(actor)s
WHERE name = %(name)s

-- name: delete
DELETE FROM policies WHERE name = %(name)s

-- name: read
SELECT id, name, title, steps, repeat, acknowledgement_expires_s, updated_at, updated_by
FROM policies
WHERE (%(name)s::text IS NULL OR name = %(name)s) AND id > %(after)s
ORDER BY id
LIMIT %(limit)s

-- name: names
SELECT name FROM policies ORDER BY name

-- name: naming
-- Policies that have a person, schedule or channel among their targets.
SELECT name
FROM policies
WHERE steps @> jsonb_build_array(jsonb_build_object(
    'targets', jsonb_build_array(jsonb_build_object('kind', %(kind)s::text, 'name', %(target)s::text))))
ORDER BY name

-- name: missing
-- The targets that do not exist.
SELECT t.kind, t.name
FROM unnest(%(kinds)s::text[], %(names)s::text[]) WITH ORDINALITY AS t (kind, name, place)
WHERE NOT CASE t.kind
    WHEN 'person' THEN EXISTS (SELECT FROM contacts c WHERE c.name = t.name)
    WHEN 'schedule' THEN EXISTS (SELECT FROM schedules s WHERE s.name = t.name)
    ELSE EXISTS (SELECT FROM channels c WHERE c.name = t.name)
END
ORDER BY t.place
