-- name: claim
-- While this is held, the maintenance packs and drops nothing: that a chunk is emptied, a snapshot cannot see.
SELECT pg_advisory_lock(7_318_009)

-- name: release
SELECT pg_advisory_unlock(7_318_009)

-- name: hold
-- The first statement of the transaction: its snapshot is of what is there once all of them are held.
LOCK TABLE {tables} IN ACCESS SHARE MODE

-- name: sequences
SELECT sequencename AS name, last_value
FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL
ORDER BY sequencename
