-- name: newest
-- The newest sample of every series that has one since a time. Labels are text, because the caller caches the
-- rendered labels by it.
SELECT s.metric, s.component, s.labels::text AS labels, s.unit, s.kind, st.last_value AS value,
       (extract(epoch FROM st.last_time) * 1000)::bigint AS time_ms
FROM series s
JOIN series_state st ON st.series_id = s.id
WHERE st.last_time >= %(since)s
ORDER BY s.metric, s.id

-- name: count_stale
SELECT count(*) FROM series_state WHERE last_time < %(since)s
