-- name: follow
-- Applies transitions to the running escalations of their alerts. An acknowledgement is stored, and next_at is set to
-- now, so that the planner computes when the acknowledgement expires. An escalation stops if its alert is resolved or
-- suppressed. After a suppression, another one starts with the first step.
UPDATE escalations x
SET acknowledged_at = x.acknowledged_at || h.acknowledged_at,
    next_at = CASE WHEN cardinality(h.acknowledged_at) > 0 THEN %(now)s ELSE x.next_at END,
    stopped_at = CASE WHEN h.is_over THEN %(now)s::timestamptz END
FROM (
    SELECT e.alert_id, bool_or(a.state = 'resolved' OR a.suppressed_by <> '{}') AS is_over,
           coalesce(array_agg(e.time ORDER BY e.id) FILTER (WHERE e.type = 'acknowledged'), '{}') AS acknowledged_at
    FROM system_alert_events e
    JOIN system_alerts a ON a.id = e.alert_id
    WHERE e.id = ANY (%(ids)s::bigint[])
    GROUP BY e.alert_id
) h
WHERE x.alert_id = h.alert_id AND x.stopped_at IS NULL AND (h.is_over OR cardinality(h.acknowledged_at) > 0)

-- name: begin
-- Starts escalations, at most one for each open alert and policy. An acknowledgement from before stays valid.
INSERT INTO escalations (
    alert_id, transition_id, route, policy, acknowledgement_expires_s, started_at, acknowledged_at, next_at)
SELECT DISTINCT ON (a.id, w.policy ->> 'name')
       a.id, w.transition_id, w.route, w.policy, w.expires_s, w.started_at,
       CASE WHEN a.acknowledged_at IS NULL THEN '{}' ELSE ARRAY[a.acknowledged_at] END, w.started_at
FROM unnest(%(alert_ids)s::bigint[], %(transition_ids)s::bigint[], %(routes)s::text[], %(policies)s::jsonb[],
            %(expires_s)s::integer[], %(times)s::timestamptz[])
    WITH ORDINALITY AS w (alert_id, transition_id, route, policy, expires_s, started_at, place)
JOIN system_alerts a ON a.id = w.alert_id AND a.state <> 'resolved' AND a.suppressed_by = '{}'
WHERE NOT EXISTS (
    SELECT
    FROM escalations x
    WHERE x.alert_id = a.id AND x.stopped_at IS NULL AND x.policy ->> 'name' = w.policy ->> 'name'
)
ORDER BY a.id, w.policy ->> 'name', w.place

-- name: due
-- Escalations whose next step is due. SKIP LOCKED leaves out those that another planner has locked.
SELECT x.id, x.alert_id, x.transition_id, x.route, x.policy, x.started_at, x.acknowledged_at, x.taken, a.level,
       coalesce((
           SELECT e.actor
           FROM system_alert_events e
           WHERE e.alert_id = x.alert_id AND e.type = 'acknowledged'
           ORDER BY e.id DESC
           LIMIT 1
       ), '') AS acknowledged_by
FROM escalations x
JOIN system_alerts a ON a.id = x.alert_id
WHERE x.next_at <= %(now)s AND x.stopped_at IS NULL AND a.state <> 'resolved' AND a.suppressed_by = '{}'
ORDER BY x.next_at, x.id
LIMIT %(limit)s
FOR UPDATE OF x SKIP LOCKED

-- name: expired
-- Alerts whose acknowledgement has expired. If they run several policies, the shortest expiry counts.
SELECT DISTINCT ON (a.id) a.id AS alert_id, x.policy ->> 'name' AS policy, x.acknowledgement_expires_s AS expires_s
FROM escalations x
JOIN system_alerts a ON a.id = x.alert_id AND a.state = 'acknowledged'
WHERE x.next_at <= %(now)s AND x.stopped_at IS NULL AND x.acknowledgement_expires_s > 0
  AND a.acknowledged_at + make_interval(secs => x.acknowledgement_expires_s) <= %(now)s
ORDER BY a.id, x.acknowledgement_expires_s
LIMIT %(limit)s

-- name: announce
-- Writes one notification for each step: the present state of the alert, and the step.
INSERT INTO notifications (kind, event, time, alert_id, payload)
SELECT 'alert', 'opened', %(now)s, a.id,
       jsonb_build_object('alert', alert_document(a), 'step', w.step, 'key', w.key)
FROM unnest(%(alert_ids)s::bigint[], %(steps)s::jsonb[], %(keys)s::text[]) WITH ORDINALITY AS w (alert_id, step, key,
    place)
JOIN system_alerts a ON a.id = w.alert_id
ORDER BY w.place
RETURNING id, payload ->> 'key' AS key

-- name: deliver
WITH written AS (
    INSERT INTO deliveries (
        key, notification_id, alert_id, channel_id, channel, address, person, step, priority, created_at, next_at)
    SELECT w.key, w.notification_id, w.alert_id, w.channel_id, w.channel, w.address, w.person, w.step, %(priority)s,
           w.time, w.time
    FROM unnest(%(keys)s::text[], %(notification_ids)s::bigint[], %(alert_ids)s::bigint[], %(channel_ids)s::bigint[],
                %(channels)s::text[], %(addresses)s::text[], %(people)s::text[], %(steps)s::integer[],
                    %(times)s::timestamptz[])
        WITH ORDINALITY AS w (key, notification_id, alert_id, channel_id, channel, address, person, step, time, place)
    ORDER BY w.place
    ON CONFLICT (key) DO NOTHING
    RETURNING channel_id, address
), served AS (
    INSERT INTO delivery_addresses (channel_id, address)
    SELECT DISTINCT channel_id, address FROM written
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM written

-- name: take
UPDATE escalations x
SET taken = x.taken || string_to_array(nullif(w.keys, ''), ' '), next_at = w.next_at
FROM unnest(%(ids)s::bigint[], %(keys)s::text[], %(times)s::timestamptz[]) AS w (id, keys, next_at)
WHERE x.id = w.id

-- name: channels
SELECT id, name FROM channels WHERE enabled AND name = ANY (%(names)s::text[])
