-- The data for messages.

CREATE OR REPLACE FUNCTION alert_document(a system_alerts) RETURNS jsonb LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object(
        'id', a.id, 'rule', a.rule, 'level', a.level, 'category', a.category, 'component', a.component,
        'labels', a.labels, 'title', a.title, 'message', a.message, 'value', a.value, 'threshold', a.threshold,
        'state', a.state, 'opened_at', a.opened_at, 'acknowledged_at', a.acknowledged_at,
        'acknowledged_by', a.acknowledged_by, 'resolved_at', a.resolved_at, 'resolved_by', a.resolved_by)
$$;
COMMENT ON FUNCTION alert_document IS 'An alert in the form for messages.';
