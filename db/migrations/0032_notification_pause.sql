-- A pause of everything that goes out: a restored copy begins with it, so that two Vigias do not tell people the same.

CREATE TABLE notification_pause (
    id        boolean PRIMARY KEY DEFAULT true CHECK (id),
    paused_at timestamptz NOT NULL,
    paused_by text NOT NULL,
    reason    text NOT NULL DEFAULT ''
);
COMMENT ON TABLE notification_pause IS 'One row while nothing is sent; none otherwise.';
COMMENT ON COLUMN notification_pause.id IS 'Always true: there is one row at most.';
COMMENT ON COLUMN notification_pause.paused_at IS 'Since when nothing is sent.';
COMMENT ON COLUMN notification_pause.paused_by IS 'Who paused.';
COMMENT ON COLUMN notification_pause.reason IS 'Why.';

ALTER TABLE deliveries DROP CONSTRAINT deliveries_state_check;
ALTER TABLE deliveries ADD CONSTRAINT deliveries_state_check
    CHECK (state IN ('pending', 'grouped', 'sent', 'failed', 'skipped'));
COMMENT ON COLUMN deliveries.state IS 'pending, grouped (another delivery carries it), sent, failed (for good) or skipped (out of date when a pause ended).';
COMMENT ON COLUMN notifications.kind IS 'alert, incident, maintenance, on_call, account, report, test or canary (of the watchdog).';
COMMENT ON COLUMN notifications.event IS 'opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended, code or canary.';
COMMENT ON COLUMN deliveries.channel_id IS 'The channel; null once it was deleted, and of a canary.';
COMMENT ON COLUMN deliveries.last_error IS 'Why the last try failed, or why it was skipped.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, contact_changed, schedule_changed, route_changed, policy_changed, notifications_paused, notifications_resumed, key_created, key_revoked, admin_created or first_admin_created.';
