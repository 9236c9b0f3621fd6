-- Rules over rules and over an objective; and rules that cannot be evaluated.

ALTER TABLE alert_rules
    ADD COLUMN by_component boolean NOT NULL DEFAULT false,
    ADD COLUMN level text CHECK (level IN ('info', 'warning', 'critical', 'emergency')),
    ADD CHECK ((kind = 'burn') = (objective IS NOT NULL AND short_window_s IS NOT NULL));
COMMENT ON COLUMN alert_rules.by_component IS 'Of a composite: whether it looks at each component alone.';
COMMENT ON COLUMN alert_rules.level IS 'Of a composite: level of its alerts; null: the loudest of the rules that fire.';
CREATE INDEX alert_rules_error ON alert_rules (error_at) WHERE error IS NOT NULL;
