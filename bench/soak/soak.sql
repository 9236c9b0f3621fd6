-- name: differing_1m
SELECT count(*)
FROM (
    SELECT series_id, time_bucket('1 minute', time) AS bucket, count(*) AS count, sum(value) AS sum,
           min(value) AS min, max(value) AS max, first(value, time) AS first, last(value, time) AS last
    FROM system_metrics GROUP BY 1, 2
) AS own
FULL JOIN system_metrics_1m AS tier USING (series_id, bucket)
WHERE (own.count, own.min, own.max, own.first, own.last)
      IS DISTINCT FROM (tier.count, tier.min, tier.max, tier.first, tier.last)
   OR abs(own.sum - tier.sum) > 1e-9 * greatest(1, abs(own.sum))

-- name: differing_5m
SELECT count(*)
FROM (
    SELECT series_id, time_bucket('5 minutes', time) AS bucket, count(*) AS count, sum(value) AS sum,
           min(value) AS min, max(value) AS max, first(value, time) AS first, last(value, time) AS last
    FROM system_metrics GROUP BY 1, 2
) AS own
FULL JOIN system_metrics_5m AS tier USING (series_id, bucket)
WHERE (own.count, own.min, own.max, own.first, own.last)
      IS DISTINCT FROM (tier.count, tier.min, tier.max, tier.first, tier.last)
   OR abs(own.sum - tier.sum) > 1e-9 * greatest(1, abs(own.sum))

-- name: materialized
SELECT (SELECT count(*) FROM system_metrics_1m), (SELECT count(*) FROM system_metrics_5m),
       (SELECT refreshed_to FROM tiers WHERE name = '1m'), (SELECT max(bucket) FROM system_metrics_1m)

-- name: stored
SELECT count(*), count(DISTINCT (m.series_id, m.time)) FROM system_metrics m JOIN series s ON s.id = m.series_id WHERE s.metric = 'ledger'

-- name: raw_bytes
SELECT hypertable_size('system_metrics')

-- name: roll_ups_1m_bytes
SELECT sum(pg_total_relation_size(chunk))::bigint FROM tier_chunks('1m')

-- name: roll_ups_5m_bytes
SELECT sum(pg_total_relation_size(chunk))::bigint FROM tier_chunks('5m')
