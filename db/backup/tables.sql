-- name: settings
-- The text format of values, equal for every session and server. It applies to this transaction.
SELECT set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO, MDY', true),
       set_config('intervalstyle', 'postgres', true), set_config('extra_float_digits', '1', true),
       set_config('bytea_output', 'hex', true), set_config('statement_timeout', '0', true)

-- name: versions
SELECT current_setting('server_version') AS server_version,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb_version,
       coalesce((SELECT max(version) FROM schema_migrations), 0) AS schema_version

-- name: tables
-- Every table with rows. An aggregate is its materialized table, under the aggregate's name.
WITH held AS (
    SELECT c.relname AS name, n.nspname AS schema, c.relname AS relation
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = current_schema()
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.deptype = 'e')
    UNION ALL
    SELECT view_name, materialization_hypertable_schema, materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = current_schema()
)
SELECT h.name, h.schema, h.relation, h.name <> h.relation AS is_aggregate, d.column_name AS time_column,
       coalesce((
           SELECT array_agg(f.confrelid::regclass::text)
           FROM pg_constraint f
           WHERE f.contype = 'f' AND f.conrelid = format('%%I.%%I', h.schema, h.relation)::regclass
               AND f.confrelid <> f.conrelid
       ), '{}') AS refers_to
FROM held h
LEFT JOIN timescaledb_information.dimensions d ON d.hypertable_schema = h.schema AND d.hypertable_name = h.relation
ORDER BY h.name

-- name: chunks
-- The time ranges of a table's chunks. They do not overlap.
SELECT range_start AS start, range_end AS end
FROM timescaledb_information.chunks
WHERE hypertable_schema = %(schema)s AND hypertable_name = %(relation)s
ORDER BY range_start

-- name: columns
-- All columns except generated ones, which the database computes again.
SELECT a.attname AS name,
       CASE
           WHEN t.typname = 'bool' THEN 'boolean'
           WHEN t.typcategory IN ('N', 'D', 'T') THEN 'plain'
           ELSE 'text'
       END AS kind
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(relation)s
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum

-- part: all
TRUE

-- part: between
{time} >= {start} AND {time} < {end}

-- part: plain_field
coalesce({column}::text, '\N')

-- part: boolean_field
CASE WHEN {column} THEN 't' WHEN NOT {column} THEN 'f' ELSE '\N' END

-- part: text_field
-- The value as COPY writes it: backslashes and control characters are escaped.
coalesce(replace(replace(replace(replace(replace(replace(replace({column}::text,
    '\', '\\'), chr(8), '\b'), chr(9), '\t'), chr(10), '\n'), chr(11), '\v'), chr(12), '\f'), chr(13), '\r'), '\N')

-- name: count
-- The number of rows, and the sum of the first 64 bits of each row's SHA-256. The sum does not depend on the order.
SELECT count(*), coalesce(sum(('x' || encode(substr(sha256(convert_to(concat_ws(chr(9), {fields}), 'UTF8')), 1, 8),
       'hex'))::bit(64)::bigint), 0)
FROM {table}
WHERE {range}

-- name: copy_out
COPY (SELECT {columns} FROM {table} WHERE {range}) TO STDOUT
