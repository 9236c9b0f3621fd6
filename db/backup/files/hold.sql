-- name: checkpoint
CHECKPOINT

-- name: hold
-- The WAL files that a start of the copy needs: from the one of the newest checkpoint's redo point to the current one.
SELECT pg_walfile_name(redo_lsn) AS first_log, pg_walfile_name(pg_current_wal_insert_lsn()) AS last_log,
       pg_current_wal_insert_lsn()::text AS position
FROM pg_control_checkpoint()
