-- name: due
-- Whether any escalation or group is due; none is while notifications are paused. Most runs find none, so they cost one
-- statement and no transaction.
SELECT NOT p.is_paused AND EXISTS (
           SELECT FROM escalations x WHERE x.next_at <= %(now)s AND x.stopped_at IS NULL
       ) AS has_escalations,
       NOT p.is_paused AND EXISTS (SELECT FROM notification_groups g WHERE g.next_at <= %(now)s) AS has_groups
FROM (SELECT EXISTS (SELECT FROM notification_pause) AS is_paused) p
