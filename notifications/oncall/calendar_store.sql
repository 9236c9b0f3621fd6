-- name: of_schedule
INSERT INTO calendar_feeds (token_hash, schedule_id, created_at, created_by)
SELECT %(token_hash)s, id, %(now)s, %(actor)s FROM schedules WHERE name = %(name)s
ON CONFLICT (schedule_id) DO UPDATE
SET token_hash = excluded.token_hash, created_at = excluded.created_at, created_by = excluded.created_by

-- name: of_contact
INSERT INTO calendar_feeds (token_hash, contact_id, created_at, created_by)
SELECT %(token_hash)s, id, %(now)s, %(actor)s FROM contacts WHERE name = %(name)s
ON CONFLICT (contact_id) DO UPDATE
SET token_hash = excluded.token_hash, created_at = excluded.created_at, created_by = excluded.created_by

-- name: end_of_schedule
DELETE FROM calendar_feeds f USING schedules s WHERE s.name = %(name)s AND f.schedule_id = s.id

-- name: end_of_contact
DELETE FROM calendar_feeds f USING contacts c WHERE c.name = %(name)s AND f.contact_id = c.id

-- name: find
SELECT s.name AS schedule, c.name AS person
FROM calendar_feeds f
LEFT JOIN schedules s ON s.id = f.schedule_id
LEFT JOIN contacts c ON c.id = f.contact_id
WHERE f.token_hash = %(token_hash)s
