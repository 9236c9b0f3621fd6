-- name: fail
-- The newest reason replaces the old one. The time of the first failure stays.
UPDATE alert_rules
SET error = %(reason)s, error_at = coalesce(error_at, %(at)s)
WHERE id = ANY (%(rule_ids)s) AND error IS DISTINCT FROM %(reason)s

-- name: recover
UPDATE alert_rules
SET error = NULL, error_at = NULL, tried_at = NULL
WHERE id = ANY (%(rule_ids)s) AND error IS NOT NULL

-- name: to_retry
-- Rules whose last failure or try is five minutes ago, oldest first. Rules of kind sql are not retried here: a run of
-- their SQL that succeeds releases them. abs() because the clock may have been set back.
SELECT id AS rule_id, kind = 'composite' AS is_composite
FROM alert_rules
WHERE error IS NOT NULL AND enabled AND kind <> 'sql'
  AND abs(extract(epoch FROM %(at)s::timestamptz - greatest(error_at, tried_at))) >= 300
ORDER BY greatest(error_at, tried_at), id
LIMIT %(limit)s

-- name: tried
UPDATE alert_rules SET tried_at = %(at)s WHERE id = %(rule_id)s

-- name: candidates
SELECT id AS rule_id, kind = 'composite' AS is_composite
FROM alert_rules
WHERE enabled AND error IS NULL
ORDER BY id

-- name: sync_rule_errors
-- Opens an alert for each enabled rule with an error that has none, and resolves the alerts of all other rules.
WITH resolved AS (
    UPDATE system_alerts a
    SET state = 'resolved', resolved_at = %(at)s, resolved_by = 'auto'
    WHERE a.rule = 'rule-error' AND a.state <> 'resolved'
      AND NOT EXISTS (
          SELECT FROM alert_rules r WHERE r.name = a.labels ->> 'rule' AND r.enabled AND r.error IS NOT NULL
      )
    RETURNING a.id, a.level, 'resolved' AS transition
), opened AS (
    INSERT INTO system_alerts (rule, level, category, component, labels, title, message, opened_at)
    SELECT 'rule-error', 'warning', 'system', coalesce(r.component, ''), jsonb_build_object('rule', r.name),
           'rule ' || r.name || ' cannot be evaluated', r.error, %(at)s
    FROM alert_rules r
    WHERE r.enabled AND r.error IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM system_alerts a
          WHERE a.rule = 'rule-error' AND a.state <> 'resolved' AND a.labels ->> 'rule' = r.name
      )
    RETURNING id, level, 'opened' AS transition
), transitions AS (
    SELECT * FROM opened
    UNION ALL
    SELECT * FROM resolved
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, actor)
    SELECT id, %(at)s, transition, level, 'auto' FROM transitions ORDER BY id
)
SELECT id AS alert_id, transition FROM transitions ORDER BY id
