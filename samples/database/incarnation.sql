-- name: is_restoring
-- A session that began between timescaledb_pre_restore() and timescaledb_post_restore() treats every hypertable as a
-- plain table until it ends. Its rows are in no chunk, so that no other session ever sees them.
SELECT coalesce(nullif(current_setting('timescaledb.restoring', true), '')::boolean, false)

-- name: identify
-- This works without Vigia's tables and without special rights. A server in recovery writes no WAL and has no current
-- timeline to read. It is read-only, which is reason enough to refuse it.
SELECT current_setting('transaction_read_only')::boolean AS is_read_only,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS has_system,
       CASE
           WHEN pg_is_in_recovery() THEN 0
           ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
       END AS timeline,
       (SELECT oid FROM pg_database WHERE datname = current_database())::bigint AS database,
       coalesce(pg_relation_filenode(to_regclass('series')), 0)::bigint AS series_file,
       to_regclass('schema_migrations') IS NOT NULL AS has_schema,
       to_regclass('series') IS NOT NULL OR to_regclass('api_keys') IS NOT NULL AS has_tables

-- name: system
-- Some operators revoke this function. It is a separate query, because `identify` must check the right first.
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
-- Updates no row if the database does not hold the last token of this process.
UPDATE replica_tokens
SET token = %(token)s, written_at = now()
WHERE replica = %(replica)s AND token = ANY (%(known)s::uuid[])

-- name: drop_ended
DELETE FROM replica_tokens WHERE written_at < now() - interval '1 day'

-- name: obstacle
-- Why samples cannot be stored although a row can be written, or null if they can: a missing table, a missing
-- permission, or a sequence that is behind. `pg_sequence_last_value` is null for a restarted sequence, which counts as
-- 0, and also without the right to read it: then the sequence is not checked.
WITH needed (name, privilege) AS (
    VALUES ('series', 'SELECT'), ('series', 'INSERT'), ('series', 'UPDATE'),
           ('series_state', 'SELECT'), ('series_state', 'INSERT'), ('series_state', 'UPDATE'),
           ('system_metrics', 'INSERT'), ('system_metrics', 'SELECT'),
           ('system_distributions', 'INSERT'), ('system_distributions', 'SELECT'),
           ('late_ranges', 'INSERT'), ('late_samples', 'SELECT'), ('late_samples', 'INSERT'),
           ('late_samples', 'UPDATE'), ('tiers', 'SELECT'), ('system_metrics_1m', 'SELECT'),
           ('api_keys', 'SELECT'), ('events', 'INSERT')
), numbering AS (
    SELECT pg_get_serial_sequence('series', 'id') AS sequence, (SELECT coalesce(max(id), 0) FROM series) AS newest
), numbered AS (
    SELECT sequence, newest,
           CASE WHEN has_sequence_privilege(sequence, 'SELECT')
                THEN coalesce(pg_sequence_last_value(sequence::regclass), 0) END AS last
    FROM numbering
)
SELECT coalesce(
    (SELECT 'the database lacks the table ' || name || '; restore the database'
     FROM needed WHERE to_regclass(name) IS NULL LIMIT 1),
    (SELECT format('the database''s role lacks a permission; run GRANT %%s ON %%s TO the role', privilege, name)
     FROM needed WHERE NOT has_table_privilege(to_regclass(name), privilege) LIMIT 1),
    (SELECT 'system_metrics is not a hypertable; restore the database'
     WHERE NOT EXISTS (
         SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = 'system_metrics'
     )),
    (SELECT CASE
         WHEN sequence IS NULL THEN 'series.id has lost its sequence; restore the database'
         WHEN last < newest THEN
             format('the sequence of series.id is behind; run SELECT setval(%%L, %%s)', sequence, newest)
         WHEN last >= 2147483647 THEN 'the database has no number left for a new series'
     END FROM numbered)
)

-- name: try_write
-- The caller rolls this back. It only checks that a row can be written.
INSERT INTO replica_tokens (replica, token, written_at)
VALUES (gen_random_uuid(), gen_random_uuid(), now())

-- name: try_sample
-- The caller rolls this back. It writes a sample of its own series: no other session can lock its rows, so an error
-- here concerns every sample. Keep it similar to `upsert` of series.sql, and `insert` and `note` of insert.sql. They
-- share the parts for rows that exist already.
WITH made AS (
    INSERT INTO series (metric, component, category, labels, unit, kind, resolution)
    VALUES ('service_write_tries', 'server', 'system', jsonb_build_object('try', gen_random_uuid()), '', 'gauge', NULL)
    {declare_anew}
    RETURNING id
), state AS (
    INSERT INTO series_state (series_id, first_time, last_time, last_value)
    SELECT id, now(), now(), 0 FROM made
    {keep_newest}
)
INSERT INTO system_metrics (series_id, time, value)
SELECT id, now(), 0 FROM made
ON CONFLICT DO NOTHING
