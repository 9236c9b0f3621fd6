-- name: due
-- Whether an escalation or a group is due, and whether notifications are paused. Most runs find nothing, and then cost
-- only this statement.
SELECT EXISTS (SELECT FROM notification_pause) AS is_paused,
       EXISTS (SELECT FROM escalations x WHERE x.next_at <= %(now)s AND x.stopped_at IS NULL) AS has_escalations,
       EXISTS (SELECT FROM notification_groups g WHERE g.next_at <= %(now)s) AS has_groups
