-- name: lock
-- Locks the groups that some alerts are in or will join, so that the planner does not send them before the transaction
-- ends. The order of the ids prevents deadlocks between two transactions.
SELECT g.id, g.route_id, g.key, g.first_at, g.next_at
FROM notification_groups g
WHERE g.id IN (SELECT m.group_id FROM notification_group_members m WHERE m.alert_id = ANY (%(alert_ids)s::bigint[]))
   OR g.id IN (
       SELECT n.id
       FROM unnest(%(route_ids)s::bigint[], %(keys)s::text[]) AS w (route_id, key)
       JOIN notification_groups n ON n.route_id = w.route_id AND n.key = w.key
   )
ORDER BY g.id
FOR UPDATE

-- name: begin
INSERT INTO notification_groups (route_id, key, labels, first_at, next_at)
SELECT w.route_id, w.key, w.labels, w.first_at, w.first_at
FROM unnest(%(route_ids)s::bigint[], %(keys)s::text[], %(labels)s::jsonb[], %(times)s::timestamptz[])
    AS w (route_id, key, labels, first_at)
RETURNING id, route_id, key, first_at, next_at

-- name: join
-- An alert that is already in the group stays unchanged. `sent_to` is just before its first notification, so that the
-- group sends all of them.
INSERT INTO notification_group_members (group_id, alert_id, sent_to)
SELECT w.group_id, w.alert_id, min(w.notification_id) - 1
FROM unnest(%(group_ids)s::bigint[], %(alert_ids)s::bigint[], %(notification_ids)s::bigint[])
    AS w (group_id, alert_id, notification_id)
GROUP BY w.group_id, w.alert_id
ON CONFLICT DO NOTHING

-- name: wake
UPDATE notification_groups g
SET next_at = w.next_at
FROM unnest(%(group_ids)s::bigint[], %(times)s::timestamptz[]) AS w (group_id, next_at)
WHERE g.id = w.group_id

-- name: due
-- Groups that are due. SKIP LOCKED leaves out those that another planner is sending or an evaluation is changing.
SELECT g.id, g.route_id, g.first_at, g.sent_at, g.messages
FROM notification_groups g
WHERE g.next_at <= %(now)s
ORDER BY g.next_at, g.id
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: of_route
SELECT g.id, g.route_id, g.first_at, g.sent_at, g.messages
FROM notification_groups g
JOIN routes r ON r.id = g.route_id
WHERE r.name = %(route)s
ORDER BY g.id
FOR UPDATE OF g

-- name: members
-- The present state of the alerts of groups, with the transitions that the group has not sent.
SELECT m.group_id, m.alert_id, m.is_sent, m.sent_to, a.level, a.state = 'resolved' AS is_resolved,
       a.state = 'acknowledged' AS is_acknowledged, a.suppressed_by <> '{}' AS is_suppressed,
       coalesce(w.types, '{}') AS waiting, coalesce(w.newest, m.sent_to) AS newest
FROM notification_group_members m
JOIN system_alerts a ON a.id = m.alert_id
CROSS JOIN LATERAL (
    SELECT array_agg(e.type ORDER BY n.id) AS types, max(n.id) AS newest
    FROM notifications n
    JOIN system_alert_events e ON e.id = n.transition_id
    WHERE n.alert_id = m.alert_id AND n.id > m.sent_to
) w
WHERE m.group_id = ANY (%(group_ids)s::bigint[])
ORDER BY m.group_id, m.alert_id

-- name: send
-- Writes the messages of groups, one to each enabled channel of the route.
--   1. Each waiting transition becomes a delivery. Its key does not depend on the group, so that an address gets it
--      once, even if the alert is in two groups.
--   2. In a message about one alert, the delivery of the newest transition carries the others. In a message about
--      several, a delivery of its own carries all.
--   3. A channel that already has all of the transitions gets no message. A repetition has no transitions and is
--      always sent.
WITH message AS (
    SELECT *
    FROM jsonb_to_recordset(%(messages)s) AS m (
        group_id bigint, number integer, route_id bigint, event text, priority smallint, alert_ids bigint[],
            is_repeated boolean)
), change AS (
    SELECT c.group_id, c.number, n.id AS notification_id, n.alert_id, n.transition_id
    FROM jsonb_to_recordset(%(changes)s) AS c (
        group_id bigint, number integer, alert_id bigint, sent_to bigint, newest bigint)
    JOIN notifications n ON n.alert_id = c.alert_id AND n.id > c.sent_to AND n.id <= c.newest
        AND n.transition_id IS NOT NULL
), target AS (
    SELECT m.group_id, m.number, m.event, m.priority, m.is_repeated, c.id AS channel_id, c.name AS channel
    FROM message m
    JOIN route_channels o ON o.route_id = m.route_id
    JOIN channels c ON c.id = o.channel_id AND c.enabled
), unsent AS (
    SELECT t.*, c.notification_id, c.alert_id, k.key, format('group-%%s-%%s-%%s', t.group_id, t.number,
           t.channel_id) AS group_key,
           first_value(k.key) OVER (
               PARTITION BY t.group_id, t.number, t.channel_id ORDER BY c.notification_id DESC) AS newest_key
    FROM target t
    JOIN change c ON c.group_id = t.group_id AND c.number = t.number
    CROSS JOIN LATERAL (SELECT format('alert-%%s-%%s-0-%%s', c.alert_id, c.transition_id, t.channel_id) AS key) k
    WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.key = k.key)
), inserted AS (
    INSERT INTO notifications (kind, event, time, alert_id, payload)
    SELECT 'alert', m.event, %(now)s, CASE WHEN m.event = 'reminder' THEN m.alert_ids[1] END,
           jsonb_build_object('group_id', m.group_id, 'number', m.number, 'alert_ids', m.alert_ids)
           || CASE WHEN m.event = 'reminder' THEN jsonb_build_object('alert', alert_document(a)) ELSE '{}' END
    FROM message m
    JOIN system_alerts a ON a.id = m.alert_ids[1]
    WHERE m.event IS NOT NULL
    ORDER BY m.group_id, m.number
    RETURNING id, alert_id, payload
), carrier AS (
    INSERT INTO deliveries (
        key, notification_id, alert_id, notification_group_id, channel_id, channel, priority, created_at, next_at)
    SELECT format('group-%%s-%%s-%%s', t.group_id, t.number, t.channel_id), s.id, s.alert_id, t.group_id, t.channel_id,
           t.channel,
           t.priority, %(now)s::timestamptz, %(now)s::timestamptz
    FROM target t
    JOIN inserted s ON (s.payload ->> 'group_id')::bigint = t.group_id AND (s.payload ->> 'number')::integer = t.number
    WHERE t.is_repeated
       OR EXISTS (
           SELECT FROM unsent u WHERE u.group_id = t.group_id AND u.number = t.number AND u.channel_id = t.channel_id)
    UNION ALL
    SELECT u.key, u.notification_id, u.alert_id, u.group_id, u.channel_id, u.channel, u.priority, %(now)s, %(now)s
    FROM unsent u
    WHERE u.event IS NULL AND u.key = u.newest_key
    ORDER BY 2, 5
    ON CONFLICT (key) DO NOTHING
    RETURNING id, key, channel_id
), carried AS (
    INSERT INTO deliveries (
        key, notification_id, alert_id, notification_group_id, channel_id, channel, priority, created_at, next_at,
            state,
        group_id)
    SELECT u.key, u.notification_id, u.alert_id, u.group_id, u.channel_id, u.channel, u.priority, %(now)s, %(now)s,
           'grouped',
           c.id
    FROM unsent u
    JOIN carrier c ON c.key = CASE WHEN u.event IS NULL THEN u.newest_key ELSE u.group_key END
    WHERE u.key <> c.key
    ORDER BY u.notification_id, u.channel_id
    ON CONFLICT (key) DO NOTHING
), served AS (
    INSERT INTO delivery_addresses (channel_id)
    SELECT DISTINCT channel_id FROM carrier
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM carrier

-- name: mark
UPDATE notification_group_members m
SET sent_to = greatest(m.sent_to, w.newest), is_sent = m.is_sent OR w.is_sent
FROM unnest(%(group_ids)s::bigint[], %(alert_ids)s::bigint[], %(newest)s::bigint[], %(sent)s::boolean[])
    AS w (group_id, alert_id, newest, is_sent)
WHERE m.group_id = w.group_id AND m.alert_id = w.alert_id

-- name: leave
DELETE FROM notification_group_members m
USING unnest(%(group_ids)s::bigint[], %(alert_ids)s::bigint[]) AS w (group_id, alert_id)
WHERE m.group_id = w.group_id AND m.alert_id = w.alert_id

-- name: set_times
UPDATE notification_groups g
SET next_at = w.next_at, sent_at = w.sent_at, messages = w.messages
FROM unnest(%(group_ids)s::bigint[], %(next_at)s::timestamptz[], %(sent_at)s::timestamptz[], %(messages)s::integer[])
    AS w (group_id, next_at, sent_at, messages)
WHERE g.id = w.group_id

-- name: end
DELETE FROM notification_groups WHERE id = ANY (%(group_ids)s::bigint[])
