-- name: is_empty
-- Whether nobody has put a table into the schema.
SELECT NOT EXISTS (
    SELECT
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.deptype = 'e')
)

-- name: hide
-- A service that finds no row here leaves the database alone: it is being restored.
WITH hidden AS (DELETE FROM schema_migrations RETURNING version, name, checksum)
SELECT version, name, checksum FROM hidden ORDER BY version

-- name: show
INSERT INTO schema_migrations (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s)

-- name: empty
-- What the migrations put there is in the backup too, as people have changed it.
TRUNCATE {tables}

-- name: copy_in
COPY {table} ({columns}) FROM STDIN

-- name: set_sequence
SELECT setval(%(name)s::regclass, %(last_value)s)
