-- The server's counters since the last reset of its statistics. The embedded engine counts nothing, and then
-- there is no row.
SELECT blks_hit      AS database_blocks_hit_total,
       blks_read     AS database_blocks_read_total,
       xact_commit   AS database_commits_total,
       xact_rollback AS database_rollbacks_total,
       deadlocks     AS database_deadlocks_total
FROM   pg_stat_database
WHERE  datname = current_database() AND xact_commit > 0
