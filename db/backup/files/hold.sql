-- name: checkpoint
CHECKPOINT

-- name: hold
-- What a start after this needs of the log: the file that the newest checkpoint begins in, and the one that is written.
SELECT pg_walfile_name(redo_lsn) AS first_log, pg_walfile_name(pg_current_wal_insert_lsn()) AS last_log,
       pg_current_wal_insert_lsn()::text AS position
FROM pg_control_checkpoint()
