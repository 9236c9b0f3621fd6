-- The statements of alerts/evaluation/cost.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i alerts/evaluation/cost.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :at, the service binds as a parameter.

\set at 'date_trunc(''minute'', now())'
\set rules '(SELECT coalesce(jsonb_agg(r), ''[]'') FROM alert_rules r)'
\set too_much 'false'

BEGIN;

-- MAY_BE_TOO_MUCH
-- An upper bound: whether the rules would read too many rows if each covered as many series as the widest metric has,
-- all as dense as the densest series, twice. The answer is mostly no. It takes a fifth of the time of `costs`.
WITH
bounds AS (
    SELECT CASE WHEN version() LIKE '%emcc%' THEN 1000000 ELSE 5000000 END AS rows_max
),
-- Rows a minute of each series that had more than one sample in the last 15 seconds. All other series are assumed to
-- have four rows a minute.
dense AS MATERIALIZED (
    SELECT series_id, 4 * count(*) AS density
    FROM (
        SELECT series_id
        FROM system_metrics
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
        UNION ALL
        SELECT series_id
        FROM system_distributions
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
    ) newest
    GROUP BY series_id
    HAVING count(*) > 1
), wide AS (
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
FROM asked a, wide w, bounds b, (SELECT greatest(max(density), 4) AS density FROM dense) d;

-- COSTS
-- The estimated rows that each rule reads in a minute. With `too_much`, only rules that exceed the limit when their
-- rows are added to those of all cheaper rules. Rules with equal inputs share one read. Comparing one series with its
-- limits costs as much as reading four rows.
WITH
bounds AS (
    SELECT CASE WHEN version() LIKE '%emcc%' THEN 1000000 ELSE 5000000 END AS rows_max
),
-- Rows a minute of each series that had more than one sample in the last 15 seconds. All other series are assumed to
-- have four rows a minute.
dense AS MATERIALIZED (
    SELECT series_id, 4 * count(*) AS density
    FROM (
        SELECT series_id
        FROM system_metrics
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
        UNION ALL
        SELECT series_id
        FROM system_distributions
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
    ) newest
    GROUP BY series_id
    HAVING count(*) > 1
), asked AS (
    SELECT r.id, r.metric, r.component, r.labels,
           r.window_s * CASE WHEN r.kind IN ('change', 'ratio') THEN 2 ELSE 1 END
               + coalesce(r.short_window_s, 0) AS length_s,
           r.window_s % 60 = 0 AND r.agg NOT IN ('rate', 'p50', 'p90', 'p95', 'p99') AS is_rolled_up
    FROM alert_rules r
    WHERE r.enabled AND r.kind <> 'composite'
), alike AS MATERIALIZED (
    SELECT metric, component, labels, length_s, is_rolled_up, array_agg(id) AS ids
    FROM asked
    GROUP BY metric, component, labels, length_s, is_rolled_up
), groups AS (
    SELECT a.ids, n.count AS instances,
           -- The newest 15 minutes of the 1m tier are not materialized: they are computed from samples.
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
WHERE NOT :too_much OR together > rows_max;

-- COSTS_OF_DRAFT
-- The estimated rows that each rule reads in a minute. With `too_much`, only rules that exceed the limit when their
-- rows are added to those of all cheaper rules. Rules with equal inputs share one read. Comparing one series with its
-- limits costs as much as reading four rows.
WITH
bounds AS (
    SELECT CASE WHEN version() LIKE '%emcc%' THEN 1000000 ELSE 5000000 END AS rows_max
),
-- Rows a minute of each series that had more than one sample in the last 15 seconds. All other series are assumed to
-- have four rows a minute.
dense AS MATERIALIZED (
    SELECT series_id, 4 * count(*) AS density
    FROM (
        SELECT series_id
        FROM system_metrics
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
        UNION ALL
        SELECT series_id
        FROM system_distributions
        WHERE time >= :at::timestamptz - interval '15 seconds' AND time < :at::timestamptz
    ) newest
    GROUP BY series_id
    HAVING count(*) > 1
), asked AS (
    SELECT r.id, r.metric, r.component, r.labels,
           r.window_s * CASE WHEN r.kind IN ('change', 'ratio') THEN 2 ELSE 1 END
               + coalesce(r.short_window_s, 0) AS length_s,
           r.window_s % 60 = 0 AND r.agg NOT IN ('rate', 'p50', 'p90', 'p95', 'p99') AS is_rolled_up
    FROM jsonb_populate_recordset(NULL::alert_rules, :rules::jsonb) r
    WHERE r.enabled AND r.kind <> 'composite'
), alike AS MATERIALIZED (
    SELECT metric, component, labels, length_s, is_rolled_up, array_agg(id) AS ids
    FROM asked
    GROUP BY metric, component, labels, length_s, is_rolled_up
), groups AS (
    SELECT a.ids, n.count AS instances,
           -- The newest 15 minutes of the 1m tier are not materialized: they are computed from samples.
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
WHERE NOT :too_much OR together > rows_max;

ROLLBACK;
