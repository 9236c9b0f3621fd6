-- name: read
-- `fires_at` may lie in the past until the next evaluation, if `for` of the rule was shortened.
SELECT r.name AS rule, s.component, s.labels, s.since, s.since + make_interval(secs => r.for_s) AS fires_at
FROM alert_states s
JOIN alert_rules r ON r.id = s.rule_id
WHERE s.phase = 'pending'
ORDER BY fires_at, r.name, s.component, s.labels
LIMIT %(limit)s
OFFSET %(skip)s
