-- name: firing
-- The firing alerts about which the channel has a delivery.
SELECT DISTINCT a.id
FROM system_alerts a
JOIN deliveries d ON d.alert_id = a.id AND d.channel_id = %(channel_id)s
WHERE a.state = 'firing'
ORDER BY a.id
