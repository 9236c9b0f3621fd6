-- name: recorded
-- Excludes the alerts from before the storm.
SELECT (SELECT count(*) FROM system_alerts WHERE state <> 'resolved' AND rule <> 'test-alert') AS alerts,
       (SELECT count(*) FROM system_alert_events WHERE type = 'opened' AND actor = 'auto') AS transitions,
       (SELECT count(*)
        FROM events e
        CROSS JOIN LATERAL jsonb_array_elements(e.payload -> 'alerts') alert
        WHERE e.type = 'alerts' AND alert ->> 'rule' <> 'test-alert') AS announced
