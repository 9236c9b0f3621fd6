-- part: some.source
(SELECT * FROM alert_rules WHERE error IS NULL)

-- part: rule_columns
-- The columns are named because the planner computes every column of each branch of a UNION, used or not.
r.id, r.kind, r.metric, r.labels, r.over, r.agg, r.window_s, r.short_window_s, r.offset_s, r.op, r.limits, r.levels,
r.is_relative, r.objective, r.no_data, r.on_error

-- part: rule_series
-- The series that each rule covers, and the inputs that it reads of each: one aggregate and, by kind of rule, a second
-- input. A change also reads the window before, a ratio the other metric, a burn rate the short window, and an SQL
-- rule the number of rows that it returned.
SELECT r.id AS rule_id, r.series_id, r.kind,
       CASE WHEN r.agg LIKE 'p__' AND r.series_kind = 'distribution' THEN 'distributions'
            WHEN r.window_s %% 60 <> 0 OR r.agg IN ('rate', 'p50', 'p90', 'p95', 'p99') THEN 'samples'
            WHEN r.agg IN ('first', 'last', 'stddev') THEN 'extended_aggregates'
            ELSE 'basic_aggregates' END AS source,
       array_position({positions}, r.agg) AS aggregate,
       r.window_s,
       CASE WHEN r.kind IN ('ratio', 'sql') THEN o.id WHEN r.kind IN ('change', 'burn')
           THEN r.series_id END AS other_id,
       CASE r.kind WHEN 'burn' THEN r.short_window_s ELSE r.window_s END AS other_window_s,
       CASE r.kind WHEN 'change' THEN r.offset_s ELSE 0 END AS other_shift_s,
       r.is_relative, 1 - r.objective / 100 AS budget, d.sign, r.op IN ('>', '<') AS is_strict,
       coalesce(l.limits[1], l.limits[2], l.limits[3], l.limits[4]) * d.sign AS least_severe,
       CASE WHEN r.levels IS NULL AND r.kind = 'threshold' THEN r.metric END AS settings,
       'alert' IN (r.no_data, r.on_error) AS is_known
FROM (
    SELECT
        {rule_columns},
        s.id AS series_id, s.component AS of, s.labels AS series_labels, s.kind AS series_kind
    FROM {source} r
    JOIN series s ON s.metric = r.metric AND s.component = r.component
    WHERE r.enabled
    UNION ALL
    SELECT
        {rule_columns},
        s.id, s.component, s.labels, s.kind
    FROM {source} r
    JOIN series s ON s.metric = r.metric
    WHERE r.enabled AND r.component IS NULL
) r
LEFT JOIN series o
    ON r.kind IN ('ratio', 'sql')
   AND o.metric = CASE r.kind WHEN 'sql' THEN 'sql_rule_rows' ELSE r.over END
   AND o.component = CASE r.kind WHEN 'sql' THEN 'rules' ELSE r.of END
   AND o.labels = CASE r.kind WHEN 'sql' THEN jsonb_build_object('metric', r.metric) ELSE r.series_labels END
CROSS JOIN LATERAL (SELECT CASE WHEN r.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign) d
CROSS JOIN LATERAL (SELECT coalesce(r.limits, level_limits(r.levels)) AS limits) l
-- A CASE, because the planner then expects many rows to match. For a plain @> it expects very few.
WHERE CASE WHEN r.labels = '{}' THEN true ELSE r.series_labels @> r.labels END

-- part: wanted_inputs
-- The distinct inputs of all rules found.
SELECT series_id, window_s, 0 AS shift_s, source
FROM found
UNION
SELECT other_id, other_window_s, other_shift_s, source
FROM found
WHERE other_id IS NOT NULL

-- part: with_inputs
FROM found f
JOIN inputs n
    ON n.series_id = f.series_id AND n.window_s = f.window_s AND n.shift_s = 0 AND n.source = f.source
LEFT JOIN inputs o
    ON o.series_id = f.other_id AND o.window_s = f.other_window_s AND o.shift_s = f.other_shift_s
        AND o.source = f.source

-- name: is_stale
SELECT EXISTS (SELECT FROM alert_rules WHERE NOT is_covered) OR EXISTS (SELECT FROM series WHERE NOT is_covered)

-- name: mark
-- Returns new and changed rules and series and marks them as covered. The mark is set before `cover` runs, so that a
-- change in between sets it back and is covered next time. Series are locked in the order in which writers lock them,
-- which rules out deadlocks.
WITH rules AS (
    UPDATE alert_rules SET is_covered = true WHERE NOT is_covered RETURNING id
), instances AS (
    UPDATE series s
    SET is_covered = true
    FROM (
        SELECT id FROM series WHERE NOT is_covered ORDER BY metric, component, labels FOR NO KEY UPDATE
    ) new
    WHERE s.id = new.id
    RETURNING s.id
)
SELECT coalesce((SELECT array_agg(id) FROM rules), '{}') AS rule_ids,
       coalesce((SELECT array_agg(id) FROM instances), '{}') AS series_ids

-- name: drop
DELETE FROM rule_series WHERE rule_id = ANY (%(rule_ids)s)

-- name: cover
WITH found AS MATERIALIZED (
    SELECT *
    FROM (
        {rule_series}
    ) t
    WHERE rule_id = ANY (%(rule_ids)s::integer[]) OR series_id = ANY (%(series_ids)s::integer[])
       OR other_id = ANY (%(series_ids)s::integer[])
), wanted AS (
    {wanted_inputs}
), made AS (
    INSERT INTO rule_inputs (series_id, window_s, shift_s, source)
    SELECT * FROM wanted
    ON CONFLICT DO NOTHING
    RETURNING *
), inputs AS MATERIALIZED (
    SELECT * FROM made
    UNION ALL
    SELECT n.*
    FROM rule_inputs n
    JOIN wanted a USING (series_id, window_s, shift_s, source)
)
INSERT INTO rule_series (rule_id, series_id, input_id, other_input_id, kind, aggregate, is_relative, budget, sign,
                         is_strict,
                           least_severe, settings, is_known)
SELECT f.rule_id, f.series_id, n.id, o.id, f.kind, f.aggregate, f.is_relative, f.budget, f.sign, f.is_strict,
       f.least_severe, f.settings, f.is_known
{with_inputs}
ON CONFLICT (rule_id, series_id) DO UPDATE
SET input_id = excluded.input_id, other_input_id = excluded.other_input_id
