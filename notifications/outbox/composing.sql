-- name: reader
SELECT coalesce(p.language, c.language) AS language, coalesce(p.tz, c.tz) AS tz
FROM channels c
LEFT JOIN contacts p ON p.name = %(person)s
WHERE c.id = %(channel_id)s

-- name: measure
-- The measure that the rule of an alert compares. No row if the rule was deleted or measures nothing.
SELECT r.metric, coalesce(s.unit, '') AS unit, a.category, r.kind, r.agg, r.window_s, coalesce(r.over, '') AS over,
       r.is_relative,
       coalesce(r.runbook, '') AS runbook
FROM system_alerts a
JOIN alert_rules r ON r.name = a.rule
LEFT JOIN series s ON s.id = a.series_id
WHERE a.id = %(alert_id)s

-- name: last_hour
-- The averages of each of 60 minutes, oldest first. Null if the minute has no samples.
SELECT minute AS time, (
           SELECT avg(m.value)
           FROM system_metrics m
           WHERE m.series_id = a.series_id AND m.time >= minute AND m.time < minute + interval '1 minute'
       ) AS value
FROM system_alerts a
CROSS JOIN generate_series(%(start)s::timestamptz, %(start)s::timestamptz + interval '59 minutes',
    interval '1 minute') minute
WHERE a.id = %(alert_id)s AND a.series_id IS NOT NULL
ORDER BY minute

-- name: previous_level
-- The level of an alert before the transition that the notification announces.
SELECT e.level
FROM system_alert_events e
JOIN notifications n ON n.transition_id > e.id AND n.alert_id = e.alert_id
WHERE n.id = %(notification_id)s
ORDER BY e.id DESC
LIMIT 1
