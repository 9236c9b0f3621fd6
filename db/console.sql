-- name: bounds
-- What holds for one statement. Nothing interrupts the embedded engine, which complains of timers; a whole
-- answer is wanted, so it is planned as one. The role comes last: it may not choose another.
SELECT set_config('timezone', 'UTC', true),
       set_config('lock_timeout', '1s', true),
       set_config('cursor_tuple_fraction', '1', true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END,
           true),
       set_config('role', 'vigia_reader', true)

-- name: unlock
-- A lock of a session outlives its transaction; that of a statement must not.
SELECT pg_advisory_unlock_all()

-- name: list
-- What was granted to readers by name, and so is documented.
SELECT relname AS name, 'view' AS kind, obj_description(oid, 'pg_class') AS comment
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
  AND EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = to_regrole('vigia_reader'))
UNION ALL
SELECT proname, 'function', obj_description(oid, 'pg_proc')
FROM pg_proc
WHERE pronamespace = 'public'::regnamespace
  AND EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = to_regrole('vigia_reader'))
ORDER BY kind DESC, name

-- name: describe
-- Arguments of a function and the columns that it answers; columns of a view.
SELECT name, kind, type, comment
FROM (
    SELECT given.name, CASE given.mode WHEN 't' THEN 'column' ELSE 'argument' END AS kind,
           format_type(given.type, NULL) AS type, NULL AS comment, given.place
    FROM pg_proc p
    CROSS JOIN LATERAL unnest(
        coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes
    ) WITH ORDINALITY AS given (type, name, mode, place)
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %(name)s
    UNION ALL
    SELECT a.attname, 'column', format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum), a.attnum
    FROM pg_attribute a
    WHERE a.attnum > 0
      AND a.attrelid IN (
          SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' AND relname = %(name)s
          UNION ALL
          SELECT t.typrelid FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
          WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %(name)s AND t.typrelid <> 0
      )
    UNION ALL
    SELECT NULL, 'returns', format_type(p.prorettype, NULL), NULL, 0
    FROM pg_proc p
    JOIN pg_type t ON t.oid = p.prorettype
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname = %(name)s AND t.typrelid = 0
) AS part
ORDER BY kind, place
