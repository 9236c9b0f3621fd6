-- name: tiers
SELECT name, relation, keep, width, nullif(dropped_to, '-infinity') AS dropped_to,
       pg_total_relation_size(tier_table(relation)) AS table_bytes
FROM tiers
ORDER BY position

-- name: chunks
SELECT t.name AS tier, c.start_time, c.end_time, c.is_compressed, c.rows, c.oldest, c.newest, c.bytes, c.unpacked_bytes
FROM tiers t
CROSS JOIN LATERAL tier_storage(t.name) c
ORDER BY t.position, c.start_time

-- name: database_bytes
SELECT pg_database_size(current_database())

-- name: dropped_chunks
-- The chunks that the maintenance would drop with the new retention. `drop_limit` is the function that drop_tier uses.
-- OFFSET 0 keeps the planner from inlining the sub-select, which would call the function for each chunk.
SELECT w.name AS tier, c.start_time
FROM unnest(%(names)s::text[], %(ages)s::interval[]) w (name, age)
CROSS JOIN LATERAL (
    SELECT drop_limit(w.name, w.age, %(now)s, %(now)s::timestamptz - interval '10 minutes') AS time OFFSET 0
) drop_to
CROSS JOIN LATERAL tier_chunks(w.name) c
WHERE w.age IS NOT NULL AND c.end_time <= drop_to.time

-- name: dropped_rows
-- The rows that the retention of a metric drops, outside the chunks that are dropped as a whole.
SELECT s.metric, age.before, t.name AS tier, sum(r.rows)::bigint AS rows
FROM series_ages(%(metrics)s, %(now)s) age
CROSS JOIN series_tiers() t
CROSS JOIN LATERAL tier_chunks(t.name) c
CROSS JOIN LATERAL series_rows(c.chunk, c.end_time, t.time_column, age.series, age.before) r
JOIN series s ON s.id = r.series_id
WHERE c.start_time < age.before
  AND NOT EXISTS (
      SELECT FROM unnest(%(tiers)s::text[], %(starts)s::timestamptz[]) dropped (tier, start_time)
      WHERE dropped.tier = t.name AND dropped.start_time = c.start_time
  )
GROUP BY 1, 2, 3
ORDER BY 1, 3
