-- name: dump
-- The schema as text. Its order and wording do not depend on the server's version.
WITH relation AS (
    SELECT c.oid, c.relname AS name, c.relkind AS kind, coalesce(obj_description(c.oid, 'pg_class'),
           obj_description(c.reltype, 'pg_type')) AS comment,
           cagg.view_definition AS cagg_definition,
           hyper.compression_enabled AS is_hypertable
    FROM pg_class c
    LEFT JOIN timescaledb_information.continuous_aggregates cagg
           ON cagg.view_schema = 'public' AND cagg.view_name = c.relname
    LEFT JOIN timescaledb_information.hypertables hyper
           ON hyper.hypertable_schema = 'public' AND hyper.hypertable_name = c.relname
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'c')
), line AS (
    SELECT name AS subject, 0 AS part, 0 AS place,
           CASE WHEN cagg_definition IS NOT NULL THEN 'CONTINUOUS AGGREGATE '
                WHEN is_hypertable IS NOT NULL THEN 'HYPERTABLE '
                WHEN kind = 'v' THEN 'VIEW '
                WHEN kind = 'c' THEN 'TYPE '
                ELSE 'TABLE ' END || name || coalesce('  -- ' || comment, '') AS text
    FROM relation
    UNION ALL
    SELECT r.name, 1, a.attnum,
           '    ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
           || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
           || CASE a.attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
           || coalesce('  -- ' || col_description(r.oid, a.attnum), '')
    FROM relation r
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT r.name, 2, row_number() OVER (PARTITION BY r.oid ORDER BY k.conname),
           '    CONSTRAINT ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
    FROM relation r
    JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype <> 'n'
    UNION ALL
    SELECT r.name, 3, row_number() OVER (PARTITION BY r.oid ORDER BY i.indexrelid::regclass::text),
           '    ' || pg_get_indexdef(i.indexrelid)
    FROM relation r
    JOIN pg_index i ON i.indrelid = r.oid
    UNION ALL
    SELECT r.name, 4, 0, coalesce(r.cagg_definition, pg_get_viewdef(r.oid))
    FROM relation r
    WHERE r.kind = 'v'
    UNION ALL
    SELECT '~ ' || p.proname, 5, 0,
           CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END || p.proname || '('
           || pg_get_function_arguments(p.oid) || ')' || coalesce(' RETURNS ' || pg_get_function_result(p.oid), '')
           || coalesce('  -- ' || obj_description(p.oid, 'pg_proc'), '')
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
)
SELECT text FROM line ORDER BY subject COLLATE "C", part, place, text COLLATE "C"

-- name: uncommented
-- Tables, views, types and columns without a comment.
SELECT c.relname || coalesce('.' || a.attname, '') AS text
FROM pg_class c
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'c')
  AND (coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) IS NULL
      OR col_description(c.oid, a.attnum) IS NULL)
ORDER BY 1
