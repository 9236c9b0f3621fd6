-- An acknowledgement ends when the escalation policy of its alert says so, and the audit of the alert records it.

ALTER TABLE system_alert_events DROP CONSTRAINT system_alert_events_type_check;
ALTER TABLE system_alert_events ADD CONSTRAINT system_alert_events_type_check CHECK (type IN (
    'opened', 'escalated', 'lowered', 'acknowledged', 'acknowledgement_expired', 'commented', 'suppressed',
    'unsuppressed', 'resolved', 'reopened'));
COMMENT ON COLUMN system_alert_events.type IS 'opened, escalated, lowered, acknowledged, acknowledgement_expired, commented, suppressed, unsuppressed, resolved or reopened.';
