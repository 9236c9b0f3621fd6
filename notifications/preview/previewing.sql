-- name: groups
-- The existing groups among those that an alert would join.
SELECT g.route_id, g.key, g.first_at, g.next_at
FROM unnest(%(route_ids)s::bigint[], %(keys)s::text[]) AS w (route_id, key)
JOIN notification_groups g ON g.route_id = w.route_id AND g.key = w.key
