-- name: identify
-- Nothing here needs a table of ours or a role with more rights. A server in recovery writes no log of its own,
-- so its time line cannot be asked for; it is read-only, which is enough to know.
SELECT current_setting('transaction_read_only')::boolean AS is_read_only,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS has_system,
       CASE
           WHEN pg_is_in_recovery() THEN 0
           ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
       END AS timeline,
       (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS database,
       to_regclass('schema_migrations') IS NOT NULL AS has_schema

-- name: system
-- Some operators take this function from everybody. It stands alone, since its right is asked for before it runs.
SELECT system_identifier FROM pg_control_system()

-- name: schema_version
SELECT max(version) FROM schema_migrations

-- name: recall
SELECT (SELECT token FROM replica_tokens WHERE replica = %(replica)s) AS token,
       (SELECT coalesce(max(id), 0) FROM series) AS newest_series

-- name: begin
INSERT INTO replica_tokens (replica, token, written_at)
VALUES (%(replica)s, %(token)s, now())
ON CONFLICT (replica) DO UPDATE SET token = excluded.token, written_at = excluded.written_at

-- name: renew
-- Touches no row when the database does not hold what this process last wrote.
UPDATE replica_tokens
SET token = %(token)s, written_at = now()
WHERE replica = %(replica)s AND token = ANY (%(known)s::uuid[])

-- name: drop_ended
DELETE FROM replica_tokens WHERE written_at < now() - interval '1 day'

-- name: try_write
-- Rolled back by the caller: whether a row could be written is all that is asked.
INSERT INTO replica_tokens (replica, token, written_at)
VALUES (gen_random_uuid(), gen_random_uuid(), now())
