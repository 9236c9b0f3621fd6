-- name: told_of
-- The alerts that still fire and that a channel was told of.
SELECT DISTINCT a.id
FROM system_alerts a
JOIN deliveries d ON d.alert_id = a.id AND d.channel_id = %(channel_id)s
WHERE a.state = 'firing'
ORDER BY a.id
