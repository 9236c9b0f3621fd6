-- part: live.source
alert_rules

-- part: draft.source
jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb)

-- part: bounds
bounds AS (
    SELECT CASE WHEN version() LIKE '%%emcc%%' THEN 1000000 ELSE 5000000 END AS rows_max
)

-- part: dense
-- How many rows a minute has of each series: of those with more than one in the last fifteen seconds, whatever
-- sends them. For all others four are supposed.
dense AS MATERIALIZED (
    SELECT series_id, 4 * count(*) AS density
    FROM (
        SELECT series_id
        FROM system_metrics
        WHERE time >= %(at)s::timestamptz - interval '15 seconds' AND time < %(at)s::timestamptz
        UNION ALL
        SELECT series_id
        FROM system_distributions
        WHERE time >= %(at)s::timestamptz - interval '15 seconds' AND time < %(at)s::timestamptz
    ) newest
    GROUP BY series_id
    HAVING count(*) > 1
)

-- name: may_be_too_much
-- Whether rules would read more than there is time for if each looked at as many series as the widest and as dense
-- ones as there are, twice; the answer is mostly no, and takes a fifth of the truth's time.
WITH
{bounds},
{dense}, wide AS (
    SELECT max(n) FILTER (WHERE is_whole) AS of_metric, max(n) FILTER (WHERE NOT is_whole) AS of_component
    FROM (
        SELECT grouping(component) = 1 AS is_whole, count(*) AS n
        FROM series
        GROUP BY GROUPING SETS ((metric), (metric, component))
    ) s
), asked AS (
    SELECT coalesce(sum(window_s), 0) AS all_s, coalesce(sum(window_s) FILTER (WHERE component IS NULL), 0) AS wide_s,
           count(*) AS count, count(*) - count(component) AS wide_count
    FROM alert_rules
    WHERE enabled
)
SELECT 2 * d.density * (a.wide_s * w.of_metric + (a.all_s - a.wide_s) * w.of_component) / 60
       + 4 * (a.wide_count * w.of_metric + (a.count - a.wide_count) * w.of_component) > b.rows_max
FROM asked a, wide w, bounds b, (SELECT greatest(max(density), 4) AS density FROM dense) d

-- name: costs
-- About what each rule reads in a minute; or only those that read more than there is time for, themselves or after all
-- that read less. What several read alike is read once. To judge one series takes as long as four rows.
WITH
{bounds},
{dense}, asked AS (
    SELECT r.id, r.metric, r.component, r.labels,
           r.window_s * CASE WHEN r.kind IN ('change', 'ratio') THEN 2 ELSE 1 END
               + coalesce(r.short_window_s, 0) AS length_s,
           r.window_s %% 60 = 0 AND r.agg NOT IN ('rate', 'p50', 'p90', 'p95', 'p99') AS is_rolled_up
    FROM {source} r
    WHERE r.enabled AND r.kind <> 'composite'
), alike AS MATERIALIZED (
    SELECT metric, component, labels, length_s, is_rolled_up, array_agg(id) AS ids
    FROM asked
    GROUP BY metric, component, labels, length_s, is_rolled_up
), groups AS (
    SELECT a.ids, n.count AS instances,
           -- The newest quarter of an hour of the 1m tier is made of samples as well.
           CASE WHEN a.is_rolled_up
                THEN (n.density * least(a.length_s, 900) + n.count * greatest(a.length_s - 900, 0)) / 60
                ELSE n.density * a.length_s / 60 END AS rows
    FROM alike a
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, coalesce(sum(coalesce(d.density, 4)), 0)::bigint AS density
        FROM (
            SELECT s.id, s.labels FROM series s WHERE s.metric = a.metric AND s.component = a.component
            UNION ALL
            SELECT s.id, s.labels FROM series s WHERE s.metric = a.metric AND a.component IS NULL
        ) s
        LEFT JOIN dense d ON d.series_id = s.id
        WHERE s.labels @> a.labels
    ) n
), summed AS (
    SELECT i.rule_id, g.rows + 4 * g.instances AS whole,
           sum(4 * g.instances + CASE WHEN i.number = 1 THEN g.rows ELSE 0 END)
               OVER (ORDER BY g.rows + 4 * g.instances, g.ids[1], i.number) AS together
    FROM groups g
    CROSS JOIN LATERAL unnest(g.ids) WITH ORDINALITY i (rule_id, number)
)
SELECT rule_id, whole AS rows, rows_max
FROM summed, bounds
WHERE NOT %(too_much)s OR together > rows_max
