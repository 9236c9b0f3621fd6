-- The rows and sizes of the tiers, from the catalogue and from the counts in compressed batches.

-- Uncompressed rows are usually few, because they are new. If there are many, their number is estimated from the first
-- pages.
CREATE OR REPLACE FUNCTION chunk_rows(
    p_chunk regclass, p_time name, p_pages_max integer DEFAULT 8192,
    OUT rows bigint, OUT oldest timestamptz, OUT newest timestamptz
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    pages      bigint := pg_relation_size(p_chunk) / current_setting('block_size')::bigint;
    pages_read bigint := CASE WHEN pages > p_pages_max THEN p_pages_max / 16 ELSE greatest(pages, 1) END;
    packed     regclass := compressed_part(p_chunk);
    part       record;
BEGIN
    EXECUTE format('SELECT count(*) * greatest(%s, 1) / %s FROM ONLY %s WHERE ctid < ''(%2$s,0)''',
                   pages, pages_read, p_chunk) INTO rows;
    EXECUTE format('SELECT min(%1$I), max(%1$I) FROM ONLY %2$s', p_time, p_chunk) INTO oldest, newest;
    IF packed IS NOT NULL THEN
        EXECUTE format('SELECT coalesce(sum(_ts_meta_count), 0) AS rows, min(_ts_meta_min_1) AS oldest,
                               max(_ts_meta_max_1) AS newest FROM %s', packed) INTO part;
        rows := rows + part.rows;
        oldest := least(oldest, part.oldest);
        newest := greatest(newest, part.newest);
    END IF;
END
$$;
COMMENT ON FUNCTION chunk_rows IS 'Number of rows of a chunk, and the times of its oldest and newest row.';

CREATE OR REPLACE FUNCTION tier_storage(p_tier text)
RETURNS TABLE (
    chunk regclass, start_time timestamptz, end_time timestamptz, is_compressed boolean, rows bigint,
    oldest timestamptz, newest timestamptz, bytes bigint, unpacked_bytes bigint
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    tier  tiers := (SELECT t FROM tiers t WHERE name = p_tier);
    hyper regclass := tier_table(tier.relation);
BEGIN
    RETURN QUERY
    SELECT c.chunk, c.start_time, c.end_time, c.is_compressed, counted.rows, counted.oldest, counted.newest,
           coalesce(pg_total_relation_size(c.chunk), 0) + coalesce(pg_total_relation_size(compressed_part(c.chunk)), 0),
           coalesce(pg_total_relation_size(c.chunk), 0) + coalesce(stats.before_compression_total_bytes, 0)
    FROM tier_chunks(p_tier) c
    JOIN chunk_compression_stats(hyper) stats
      ON to_regclass(format('%I.%I', stats.chunk_schema, stats.chunk_name)) = c.chunk
    CROSS JOIN LATERAL chunk_rows(c.chunk, CASE WHEN tier.source IS NULL THEN 'time' ELSE 'bucket' END) counted
    ORDER BY c.start_time;
END
$$;
COMMENT ON FUNCTION tier_storage IS
    'Chunks of a tier with their rows and bytes; unpacked_bytes is the size before compression.';

-- Counts rows without decompressing a batch, except if the time is inside a batch.
CREATE OR REPLACE FUNCTION series_rows(
    p_chunk regclass, p_end timestamptz, p_time name, p_series integer[], p_before timestamptz
) RETURNS TABLE (series_id integer, rows bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    packed regclass := compressed_part(p_chunk);
BEGIN
    IF p_end > p_before OR packed IS NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT series_id, count(*) FROM %s WHERE series_id = ANY (%L) AND %I < %L GROUP BY 1',
            p_chunk, p_series, p_time, p_before);
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT series_id, sum(part.rows)::bigint
         FROM (SELECT series_id, count(*) AS rows FROM ONLY %1$s WHERE series_id = ANY (%3$L) GROUP BY 1
               UNION ALL
               SELECT series_id, sum(_ts_meta_count) FROM %2$s WHERE series_id = ANY (%3$L) GROUP BY 1) part
         GROUP BY 1',
        p_chunk, packed, p_series);
END
$$;
COMMENT ON FUNCTION series_rows IS 'Number of rows of series in a chunk that are older than a time.';
