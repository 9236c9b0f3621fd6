-- name: summarize
-- How alerts opened in a range of time went, by what they have in common; the noisiest first.
SELECT CASE %(by)s
           WHEN 'rule' THEN rule
           WHEN 'level' THEN level
           WHEN 'category' THEN category
           WHEN 'component' THEN component
           WHEN 'week' THEN to_char(date_trunc('week', opened_at AT TIME ZONE %(tz)s), 'YYYY-MM-DD')
       END AS "group",
       count(*) AS alerts,
       sum(steps)::bigint AS steps,
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
       avg(flaps::integer::double precision) AS flapping_index
FROM (
    SELECT a.rule, a.level, a.category, a.component, a.state, a.opened_at, a.resolved_by,
           extract(epoch FROM a.acknowledged_at - a.opened_at)::double precision AS acknowledge_s,
           extract(epoch FROM a.resolved_at - a.opened_at)::double precision AS resolve_s,
           greatest(0, extract(epoch FROM coalesce(a.resolved_at, %(now)s) - a.opened_at))::double precision AS firing_s,
           (SELECT count(*) FROM system_alert_events e WHERE e.alert_id = a.id) AS steps,
           a.is_flapping OR EXISTS (
               SELECT
               FROM system_alerts p
               WHERE p.rule = a.rule AND p.component = a.component AND p.labels = a.labels AND p.id <> a.id
                 AND p.resolved_at <= a.opened_at AND p.resolved_at > a.opened_at - interval '1 hour'
           ) AS flaps
    FROM system_alerts a
    WHERE a.opened_at >= %(start)s AND a.opened_at < %(end)s
) alert
GROUP BY 1
ORDER BY alerts DESC, firing_s DESC, 1
LIMIT %(limit)s
