-- name: create_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: lock
-- Held to the end of the transaction, so that two processes migrate one after the other. The number is arbitrary, but
-- no other code may use it.
SELECT pg_advisory_xact_lock(7_318_008)

-- name: read_applied
SELECT version, name, checksum
FROM schema_migrations
WHERE version > 0
ORDER BY version

-- name: record
INSERT INTO schema_migrations (version, name, checksum)
VALUES (%(version)s, %(name)s, %(checksum)s)

-- name: record_routines
-- Version 0 stands for the routines. It changes no row if their checksum is the recorded one.
INSERT INTO schema_migrations (version, name, checksum)
VALUES (0, 'routines', %(checksum)s)
ON CONFLICT (version) DO UPDATE
SET checksum = excluded.checksum, applied_at = now()
WHERE schema_migrations.checksum <> excluded.checksum

-- name: available_version
SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'

-- name: missing_internals
-- Internal functions and columns of TimescaleDB that the maintenance needs and that this version lacks. TimescaleDB
-- has no public views for them, and changes them without notice.
SELECT name
FROM (
    VALUES
        ('_timescaledb_functions.chunk_status(regclass)',
         to_regprocedure('_timescaledb_functions.chunk_status(regclass)') IS NOT NULL),
        ('_timescaledb_functions.to_unix_microseconds(timestamp with time zone)',
         to_regprocedure('_timescaledb_functions.to_unix_microseconds(timestamp with time zone)') IS NOT NULL),
        ('_timescaledb_catalog.compression_settings.compress_relid', EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('_timescaledb_catalog.compression_settings')
              AND attname = 'compress_relid' AND NOT attisdropped)),
        ('_timescaledb_catalog.continuous_aggs_watermark.watermark', EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('_timescaledb_catalog.continuous_aggs_watermark')
              AND attname = 'watermark' AND NOT attisdropped)),
        ('_timescaledb_catalog.hypertable.schema_name', EXISTS (
            SELECT FROM pg_attribute
            WHERE attrelid = to_regclass('_timescaledb_catalog.hypertable')
              AND attname = 'schema_name' AND NOT attisdropped))
) AS needed (name, is_there)
WHERE NOT is_there

-- name: installed_version
SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'

-- name: create_extension
CREATE EXTENSION IF NOT EXISTS timescaledb
