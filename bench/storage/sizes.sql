-- name: functions
-- The sizes of relations whose names are known only at run time.
CREATE FUNCTION pg_temp.rows_of(p_relation regclass) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s', p_relation) INTO counted;
    RETURN counted;
END
$$;

CREATE FUNCTION pg_temp.column_bytes(p_relation regclass) RETURNS TABLE (name text, bytes bigint)
LANGUAGE plpgsql AS $$
BEGIN
    FOR name IN
        SELECT attname FROM pg_attribute
        WHERE attrelid = p_relation AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('SELECT coalesce(sum(pg_column_size(%I)), 0) FROM %s', name, p_relation) INTO bytes;
        RETURN NEXT;
    END LOOP;
END
$$;

-- The chunks of every tier, with their sizes: rows, indexes, and TOAST tables.
CREATE VIEW pg_temp.chunks AS
SELECT t.name AS tier, t.position, d.time_interval AS width,
       c.chunk, c.range_start, c.range_end, c.is_compressed,
       s.table_bytes, s.index_bytes, s.toast_bytes, s.total_bytes
FROM tiers t
JOIN LATERAL (
    SELECT coalesce(
        (SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)
         FROM timescaledb_information.continuous_aggregates WHERE view_name = t.relation),
        t.relation)::regclass AS id
) h ON true
JOIN timescaledb_information.dimensions d
  ON format('%I.%I', d.hypertable_schema, d.hypertable_name)::regclass = h.id
JOIN LATERAL (
    SELECT format('%I.%I', chunk_schema, chunk_name)::regclass AS chunk, range_start, range_end, is_compressed
    FROM timescaledb_information.chunks
    WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = h.id
) c ON true
JOIN LATERAL (
    SELECT format('%I.%I', chunk_schema, chunk_name)::regclass AS chunk,
           table_bytes, index_bytes, toast_bytes, total_bytes
    FROM chunks_detailed_size(h.id)
) s ON s.chunk = c.chunk;

-- name: chunks
SELECT tier, width, range_start, range_end, is_compressed, pg_temp.rows_of(chunk) AS row_count,
       table_bytes, index_bytes, toast_bytes, total_bytes
FROM pg_temp.chunks
ORDER BY position, range_start

-- name: columns
SELECT c.tier, c.range_start, b.name, b.bytes
FROM pg_temp.chunks c
JOIN _timescaledb_catalog.compression_settings s ON s.relid = c.chunk
CROSS JOIN LATERAL pg_temp.column_bytes(s.compress_relid) b
WHERE s.compress_relid IS NOT NULL
ORDER BY c.position, c.range_start

-- name: compress
SELECT count(compress_chunk(chunk)) FROM pg_temp.chunks WHERE NOT is_compressed
