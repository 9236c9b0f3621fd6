-- name: is_empty
-- Whether the schema has no tables.
SELECT NOT EXISTS (
    SELECT
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.deptype = 'e')
)

-- name: hide
-- A service that finds no row here does not use the database: it is being restored.
WITH hidden AS (DELETE FROM schema_migrations RETURNING version, name, checksum)
SELECT version, name, checksum FROM hidden ORDER BY version

-- name: show
INSERT INTO schema_migrations (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s)

-- name: empty
-- Removes the rows that migrations insert. The backup has them too, as users have changed them.
TRUNCATE {tables}

-- name: copy_in
COPY {table} ({columns}) FROM STDIN

-- name: set_sequence
SELECT setval(%(name)s::regclass, %(last_value)s)
