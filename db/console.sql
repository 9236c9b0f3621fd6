-- name: bounds
-- Settings for one statement. The embedded engine supports no timers, so it gets no statement_timeout.
-- cursor_tuple_fraction = 1 plans for all rows. The role is set last, because a reader may not change it.
SELECT set_config('timezone', 'UTC', true),
       set_config('lock_timeout', '1s', true),
       set_config('cursor_tuple_fraction', '1', true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END,
           true),
       set_config('role', 'vigia_reader', true)

-- name: unlock
-- A session-level advisory lock outlives its transaction. A lock that a statement takes must not.
SELECT pg_advisory_unlock_all()

-- name: list
-- The views and functions that were granted to readers by name. They are the documented ones.
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
-- The arguments and the result columns of a function, or the columns of a view.
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
