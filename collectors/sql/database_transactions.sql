-- The age of the oldest open transaction of other sessions. Autovacuum is excluded: it may take hours, and
-- blocks nobody.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)
         AS database_oldest_transaction_seconds
FROM   pg_stat_activity
WHERE  datname = current_database()
       AND pid <> pg_backend_pid()
       AND backend_type <> 'autovacuum worker'
