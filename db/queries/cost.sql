-- part: live.source
alert_rules

-- part: draft.source
jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb)

-- name: costs
-- Rules that read more in a minute than there is time for, themselves or after all that read less: over a bound.
-- What several read alike is read once. Samples come every fifteen seconds, about; short windows may be left out.
WITH asked AS (
    SELECT r.id, r.metric, r.component, r.labels,
           (r.window_s * CASE WHEN r.kind IN ('change', 'ratio') THEN 2 ELSE 1 END + coalesce(r.short_window_s, 0))
               / CASE WHEN r.window_s %% 60 = 0 AND r.agg NOT IN ('rate', 'p50', 'p90', 'p95', 'p99') THEN 60 ELSE 15 END AS rows
    FROM {source} r
    WHERE r.enabled AND r.kind <> 'composite' AND r.window_s > %(above_s)s
), groups AS (
    SELECT a.rows, array_agg(a.id) AS ids,
           a.rows * (SELECT count(*) FROM series s
                     WHERE s.metric = a.metric AND (a.component IS NULL OR s.component = a.component)
                       AND s.labels @> a.labels) AS whole
    FROM asked a
    GROUP BY a.metric, a.component, a.labels, a.rows
), summed AS (
    SELECT ids, whole, sum(whole) OVER (ORDER BY whole, ids) AS together FROM groups
), bounds AS (
    SELECT CASE WHEN version() LIKE '%%emcc%%' THEN 1000000 ELSE 5000000 END AS rows_max
)
SELECT unnest(ids) AS rule_id, whole AS rows, rows_max
FROM summed, bounds
WHERE together > CASE WHEN %(too_much)s THEN rows_max ELSE -1 END
