-- name: take_unannounced
-- Marks unannounced transitions as announced and returns them: of the given alerts, or of the first alerts that have
-- any. Comments are never announced.
WITH chosen AS MATERIALIZED (
    -- IN over unnest() is planned as a hash join. Deleting a rule may pass thousands of ids.
    SELECT DISTINCT alert_id
    FROM system_alert_events
    WHERE NOT is_announced AND type <> 'commented'
      AND (%(alert_ids)s::bigint[] IS NULL OR alert_id IN (SELECT unnest(%(alert_ids)s::bigint[])))
    ORDER BY alert_id
    LIMIT %(at_most)s
), taken AS (
    UPDATE system_alert_events e
    SET is_announced = true
    FROM chosen c
    WHERE e.alert_id = c.alert_id AND NOT e.is_announced AND e.type <> 'commented'
    RETURNING e.id, e.alert_id
)
SELECT coalesce(array_agg(id ORDER BY id), '{}') AS transition_ids,
       coalesce(array_agg(DISTINCT alert_id), '{}') AS alert_ids
FROM taken
