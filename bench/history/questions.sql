-- The queries that an analyst would write against the tier that fits.

-- name: floor
SELECT 1

-- name: ids
SELECT id FROM series
WHERE metric = %(metric)s AND labels @> %(labels)s::jsonb
ORDER BY labels ->> %(by)s COLLATE "C"

-- name: raw
SELECT series_id, time, value
FROM system_metrics
WHERE series_id = ANY (%(ids)s::integer[]) AND time >= %(start)s AND time < %(end)s
ORDER BY series_id, time

-- name: of_5m
SELECT series_id, bucket, sum / count
FROM system_metrics_5m
WHERE series_id = ANY (%(ids)s::integer[]) AND bucket >= %(start)s AND bucket < %(end)s
ORDER BY series_id, bucket

-- name: of_1h
SELECT series_id, bucket, sum / count
FROM system_metrics_1h
WHERE series_id = ANY (%(ids)s::integer[]) AND bucket >= %(start)s AND bucket < %(end)s
ORDER BY series_id, bucket

-- name: of_1h_by_6h
SELECT series_id, time_bucket('6 hours', bucket) AS bucket_6h, sum(sum) / sum(count)
FROM system_metrics_1h
WHERE series_id = ANY (%(ids)s::integer[]) AND bucket >= %(start)s AND bucket < %(end)s
GROUP BY series_id, bucket_6h
ORDER BY series_id, bucket_6h

-- name: grouped_5m
SELECT labels ->> %(by)s AS name, bucket, sum(sum) / sum(count)
FROM system_metrics_5m
JOIN series ON series.id = series_id
WHERE series_id = ANY (%(ids)s::integer[]) AND bucket >= %(start)s AND bucket < %(end)s
GROUP BY name, bucket
ORDER BY name, bucket

-- name: p99
SELECT series_id, time_bucket(make_interval(secs => %(step_s)s), time) AS step,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY value)
FROM system_metrics
WHERE series_id = ANY (%(ids)s::integer[]) AND time >= %(start)s AND time < %(end)s
GROUP BY series_id, step
ORDER BY series_id, step
