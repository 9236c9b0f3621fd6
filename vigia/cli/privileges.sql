-- name: side_effects
-- PostgreSQL functions with which a user who may only read can fill the disk or the lock table of the whole server, if
-- PUBLIC may call them in this database.
SELECT p.oid::regprocedure::text AS name
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace
  AND (p.proname = 'pg_logical_emit_message' OR p.proname ~ '^pg_(try_)?advisory_(xact_)?lock')
  AND EXISTS (
      SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
      WHERE grantee = 0 AND privilege_type = 'EXECUTE'
  )
ORDER BY 1

-- name: left_over_roles
-- Logins of SQL rules whose database was dropped. Roles belong to the whole server, so they are left behind.
SELECT rolname AS name
FROM pg_roles
WHERE rolname ~ '^vigia_rules_[0-9]+$'
  AND substr(rolname, 13)::oid NOT IN (SELECT oid FROM pg_database)
ORDER BY 1
