-- name: tier
SELECT history_tier(%(start)s, %(step)s)

-- name: buckets
SELECT series_id, extract(epoch FROM bucket)::bigint AS time, count, sum, min, max, first, last
FROM history_buckets(%(tier)s, %(series_ids)s::integer[], %(start)s, %(end)s, %(step)s)
ORDER BY series_id, bucket
LIMIT %(limit)s
