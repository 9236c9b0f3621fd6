-- The age of the oldest open transaction of anyone else. Autovacuum holds nobody up and may take hours.
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(xact_start)), 0)
         AS database_oldest_transaction_seconds
FROM   pg_stat_activity
WHERE  datname = current_database()
       AND pid <> pg_backend_pid()
       AND backend_type <> 'autovacuum worker'
