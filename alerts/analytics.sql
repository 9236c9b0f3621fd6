-- name: summarize
-- Statistics of the alerts opened in a time range, by group, largest group first. Reads the audit of these alerts, and
-- of alerts resolved within the hour before, in one pass. Acknowledgements come from the audit because reopening an
-- alert clears them in system_alerts. Alerts opened by a person are tests and do not count.
SELECT CASE %(by)s
           WHEN 'rule' THEN rule
           WHEN 'level' THEN level
           WHEN 'category' THEN category
           WHEN 'component' THEN component
           WHEN 'week' THEN to_char(date_trunc('week', opened_at AT TIME ZONE %(tz)s), 'YYYY-MM-DD')
       END AS "group",
       count(*) AS alerts,
       sum(transitions)::bigint AS transitions,
       count(*) FILTER (WHERE state <> 'resolved') AS open,
       sum(firing_s) AS firing_s,
       count(acknowledge_s) AS acknowledged,
       avg(acknowledge_s) AS acknowledge_s_mean,
       (percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY acknowledge_s))[1] AS acknowledge_s_p50,
       (percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY acknowledge_s))[2] AS acknowledge_s_p90,
       count(resolve_s) AS resolved,
       count(resolve_s) FILTER (WHERE resolved_by = 'auto') AS resolved_auto,
       avg(resolve_s) AS resolve_s_mean,
       (percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolve_s))[1] AS resolve_s_p50,
       (percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY resolve_s))[2] AS resolve_s_p90,
       avg((is_flapping OR returns)::integer::double precision) AS flapping_index
FROM (
    SELECT rule, level, category, component, state, opened_at, resolved_by, is_flapping,
           count(*) AS transitions,
           extract(
               epoch FROM min(time) FILTER (WHERE type = 'acknowledged') - opened_at
           )::double precision AS acknowledge_s,
           extract(epoch FROM resolved_at - opened_at)::double precision AS resolve_s,
           -- The sum of the ends minus the sum of the starts, each clamped to the range.
           (CASE WHEN state <> 'resolved' THEN until_s ELSE 0 END
            + sum(CASE type WHEN 'resolved' THEN at_s WHEN 'opened' THEN -at_s WHEN 'reopened' THEN -at_s ELSE 0 END)
           )::double precision AS firing_s,
           bool_or(type = 'opened' AND calm_at > time - interval '1 hour') IS TRUE AS returns
    FROM (
        SELECT a.id, a.rule, a.level, a.category, a.component, a.state, a.opened_at, a.resolved_at, a.resolved_by,
               a.is_flapping, e.type, e.time, e.actor,
               extract(epoch FROM least(%(end)s::timestamptz, %(now)s) - %(start)s::timestamptz) AS until_s,
               extract(epoch FROM least(greatest(e.time, %(start)s), %(end)s, %(now)s)
                   - %(start)s::timestamptz) AS at_s,
               max(e.time) FILTER (WHERE e.type = 'resolved')
                   OVER (PARTITION BY a.rule, a.component, a.labels ORDER BY e.id) AS calm_at
        FROM system_alerts a
        JOIN system_alert_events e ON e.alert_id = a.id
        WHERE a.opened_at < %(end)s
          AND (a.opened_at >= %(start)s OR a.resolved_at > %(start)s::timestamptz - interval '1 hour'
               OR a.resolved_at IS NULL)
    ) transition
    WHERE opened_at >= %(start)s
    GROUP BY id, rule, level, category, component, state, opened_at, resolved_at, resolved_by, is_flapping, until_s
    HAVING bool_and(type <> 'opened' OR actor = 'auto')
) alert
GROUP BY 1
ORDER BY alerts DESC, firing_s DESC, 1
LIMIT %(limit)s
