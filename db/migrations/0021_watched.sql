-- What was let go stays let go, whoever was running then; and rules without what their kind has no use for.

CREATE TABLE watched_components (
    component text PRIMARY KEY,
    let_go_at timestamptz
);
COMMENT ON TABLE watched_components IS 'Components outside that the settings want, or wanted, to be asked.';
COMMENT ON COLUMN watched_components.component IS 'Name of the component.';
COMMENT ON COLUMN watched_components.let_go_at IS 'Since when nobody wants it to be asked; null: it is.';

CREATE INDEX system_alerts_resolved_at ON system_alerts (resolved_at);

ALTER TABLE alert_rules
    DROP CONSTRAINT alert_rules_window_s_check,
    ADD CONSTRAINT alert_rules_window_s_check CHECK (window_s BETWEEN 1 AND 604800);

UPDATE alert_rules
SET labels = '{}', agg = 'avg', window_s = 60, op = '>', no_data = 'keep'
WHERE kind = 'composite';

-- Its address is that of trials.
UPDATE system_alerts SET rule = 'preview-rule' WHERE rule = 'preview';
UPDATE alert_rules
SET all_of = array_replace(all_of, 'preview', 'preview-rule'), any_of = array_replace(any_of, 'preview', 'preview-rule'),
    none_of = array_replace(none_of, 'preview', 'preview-rule')
WHERE kind = 'composite';
UPDATE alert_rules SET name = 'preview-rule' WHERE name = 'preview';
