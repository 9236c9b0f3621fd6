-- A maintenance window that is removed has held alerts all the same: its past stays.

ALTER TABLE maintenance_windows
    ADD COLUMN removed_at timestamptz,
    DROP CONSTRAINT maintenance_windows_name_key;
COMMENT ON COLUMN maintenance_windows.removed_at IS 'When it was ended for good, and its name became free; null: it goes on.';
CREATE UNIQUE INDEX maintenance_windows_name ON maintenance_windows (name) WHERE removed_at IS NULL;

COMMENT ON TABLE security_events IS 'The security audit: who was refused, and who changed settings, rules, what holds alerts back, and keys.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, quiet_changed, key_created, key_revoked, admin_created or first_admin_created.';
