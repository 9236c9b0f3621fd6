-- name: claim
-- While this lock is held, the maintenance rewrites and drops no chunk: a snapshot does not protect against that.
SELECT pg_advisory_lock(7_318_009)

-- name: release
SELECT pg_advisory_unlock(7_318_009)

-- name: hold
-- The first statement of the transaction. LOCK takes no snapshot, so the snapshot is taken after all locks are held.
LOCK TABLE {tables} IN ACCESS SHARE MODE

-- name: sequences
SELECT sequencename AS name, last_value
FROM pg_sequences
WHERE schemaname = current_schema() AND last_value IS NOT NULL
ORDER BY sequencename
