-- name: recorded
SELECT (SELECT count(*) FROM system_alerts WHERE state <> 'resolved') AS alerts,
       (SELECT count(*) FROM system_alert_events WHERE type = 'opened') AS steps,
       (SELECT coalesce(sum(jsonb_array_length(payload -> 'alerts')), 0)::bigint FROM events WHERE type = 'alerts') AS told
