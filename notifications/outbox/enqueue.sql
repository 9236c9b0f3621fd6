-- name: announce
-- Writes one notification for each transition that people are notified of, whether or not a channel takes it.
WITH announced AS (
    SELECT e.id, e.alert_id, e.time, e.level, e.value, e.threshold, e.comment, e.actor,
           CASE e.type WHEN 'reopened' THEN 'opened' WHEN 'unsuppressed' THEN 'opened' ELSE e.type END AS event, e.type
    FROM system_alert_events e
    WHERE e.id = ANY (%(ids)s::bigint[])
      AND e.type IN ('opened', 'escalated', 'lowered', 'acknowledged', 'resolved', 'reopened', 'unsuppressed')
), inserted AS (
    INSERT INTO notifications (kind, event, time, alert_id, transition_id, payload)
    SELECT 'alert', n.event, n.time, n.alert_id, n.id,
           jsonb_build_object(
               'alert', alert_document(a) || jsonb_build_object('level', n.level, 'value', n.value, 'threshold',
                   n.threshold),
               'actor', n.actor, 'comment', n.comment)
    FROM announced n
    JOIN system_alerts a ON a.id = n.alert_id
    ORDER BY n.id
    RETURNING id, transition_id
)
SELECT s.id AS notification_id, s.transition_id, n.alert_id, n.type, n.level, a.rule, a.category, a.component, a.labels,
       a.opened_at, a.suppressed_by <> '{}' AS is_suppressed
FROM inserted s
JOIN announced n ON n.id = s.transition_id
JOIN system_alerts a ON a.id = n.alert_id
ORDER BY s.id

-- name: deliver
-- Writes the deliveries that announced transitions cause at once.
--   1. Every address that has a delivery about an alert also gets what follows. Exception: addresses of a group that
--      lists the alert, because the message of the group says it.
--   2. If alerts are not routed, every enabled channel also gets the alert once it has the channel's lowest level.
--      Exception: channels that follow the bus, because they get the alert as an event.
--   3. A suppressed alert notifies nobody that it opened. When the suppression ends, the channels that have no
--      delivery about it get one.
--   4. If an alert is reopened, addresses that only an escalation step notified get nothing here: the new escalation
--      notifies them again, in the order of its steps.
WITH announced AS (
    SELECT n.id, n.event, n.alert_id, n.transition_id, e.type, e.level, a.suppressed_by <> '{}' AS is_suppressed,
           -- The highest level of earlier transitions of this statement: their deliveries do not exist yet.
           max(array_position(alert_levels(), e.level)) FILTER (WHERE n.event IN ('opened', 'escalated'))
               OVER (PARTITION BY n.alert_id ORDER BY n.id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS risen_to
    FROM notifications n
    JOIN system_alert_events e ON e.id = n.transition_id
    JOIN system_alerts a ON a.id = n.alert_id
    WHERE n.transition_id = ANY (%(ids)s::bigint[])
), notified AS (
    SELECT earlier.alert_id, d.channel_id, d.address, min(d.person) AS person, bool_and(d.step > 0) AS is_by_step
    FROM notifications earlier
    JOIN deliveries d ON d.notification_id = earlier.id
    WHERE earlier.alert_id IN (SELECT alert_id FROM announced)
    GROUP BY earlier.alert_id, d.channel_id, d.address
), facing AS (
    SELECT s.*, c.id AS channel_id, c.name AS channel, t.address, t.person, true AS is_notified, t.is_by_step,
           false AS is_wanted
    FROM announced s
    JOIN notified t ON t.alert_id = s.alert_id
    JOIN channels c ON c.id = t.channel_id AND c.enabled
    WHERE NOT EXISTS (
        SELECT
        FROM notification_group_members m
        JOIN notification_groups g ON g.id = m.group_id
        JOIN route_channels o ON o.route_id = g.route_id
        WHERE m.alert_id = s.alert_id AND o.channel_id = c.id AND t.address = ''
    )
    UNION ALL
    SELECT s.*, c.id, c.name, '', NULL,
           NOT s.is_suppressed
           AND coalesce(s.risen_to >= array_position(alert_levels(), c.min_level), false),
           false, array_position(alert_levels(), s.level) >= array_position(alert_levels(), c.min_level)
    FROM announced s
    JOIN channels c ON c.enabled AND c.type <> 'events' AND NOT %(is_routed)s
    WHERE NOT EXISTS (SELECT FROM notified t WHERE t.alert_id = s.alert_id AND t.channel_id = c.id AND t.address = '')
), addressed AS (
    SELECT *
    FROM facing
    WHERE CASE
              WHEN event = 'resolved' THEN is_notified
              WHEN is_suppressed THEN false
              WHEN event IN ('acknowledged', 'lowered') THEN is_notified
              WHEN type = 'unsuppressed' THEN is_wanted AND NOT is_notified
              WHEN type = 'reopened' AND is_by_step THEN false
              ELSE is_wanted OR is_notified
          END
), written AS (
    INSERT INTO deliveries (
        key, notification_id, alert_id, channel_id, channel, address, person, priority, created_at, next_at)
    SELECT concat_ws('-', 'alert', alert_id, transition_id, 0, channel_id, left(md5(nullif(address, '')), 12)), id,
           alert_id,
           channel_id, channel, address, person, CASE WHEN is_notified THEN 3 ELSE 2 END, %(now)s, %(now)s
    FROM addressed
    ORDER BY id, channel_id, address
    ON CONFLICT (key) DO NOTHING
    RETURNING channel_id, address
), served AS (
    INSERT INTO delivery_addresses (channel_id, address)
    SELECT DISTINCT channel_id, address FROM written
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM written
