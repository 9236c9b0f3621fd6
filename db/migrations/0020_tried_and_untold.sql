-- Rules in error take turns at being tried again; what alerts tell of a storm waits until all of it is known.

ALTER TABLE alert_rules ADD COLUMN tried_at timestamptz;
COMMENT ON COLUMN alert_rules.tried_at IS 'When it was last tried again; it counts only after error_at.';

CREATE TABLE untold_alerts (
    alert_id bigint PRIMARY KEY REFERENCES system_alerts (id) ON DELETE CASCADE
);
COMMENT ON TABLE untold_alerts IS 'Alerts that took steps which the bus does not tell yet: what holds them back is known once a whole minute is evaluated.';
COMMENT ON COLUMN untold_alerts.alert_id IS 'The alert.';
