-- Rules over rules, over an objective, and in an admin's own SQL; and rules that cannot be evaluated.

ALTER TABLE alert_rules
    ADD COLUMN by_component boolean NOT NULL DEFAULT false,
    ADD COLUMN level text CHECK (level IN ('info', 'warning', 'critical', 'emergency')),
    ADD CHECK ((kind = 'sql') = (sql IS NOT NULL)),
    ADD CHECK ((kind = 'burn') = (objective IS NOT NULL AND short_window_s IS NOT NULL));
COMMENT ON COLUMN alert_rules.by_component IS 'Of a composite: whether it looks at each component alone.';
COMMENT ON COLUMN alert_rules.level IS 'Of a composite: level of its alerts; null: the loudest of the rules that fire.';
CREATE INDEX alert_rules_error ON alert_rules (error_at) WHERE error IS NOT NULL;

CREATE TABLE alert_answers (
    rule_id  integer PRIMARY KEY REFERENCES alert_rules ON DELETE CASCADE,
    asked_at timestamptz NOT NULL,
    rows     jsonb NOT NULL
);
COMMENT ON TABLE alert_answers IS 'What the question of each rule of kind sql answered last.';
COMMENT ON COLUMN alert_answers.rule_id IS 'The rule.';
COMMENT ON COLUMN alert_answers.asked_at IS 'The minute for which it was asked.';
COMMENT ON COLUMN alert_answers.rows IS 'Its rows: component, labels and value of each.';

CREATE TABLE late_arrivals (
    series_id  integer NOT NULL REFERENCES series ON DELETE CASCADE,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL,
    arrived_at timestamptz NOT NULL
);
COMMENT ON TABLE late_arrivals IS 'Samples that came after the rules had looked at their minutes: what was seen then is not what is stored now.';
COMMENT ON COLUMN late_arrivals.series_id IS 'The series.';
COMMENT ON COLUMN late_arrivals.start_time IS 'Oldest late sample of a batch.';
COMMENT ON COLUMN late_arrivals.end_time IS 'Newest late sample of a batch.';
COMMENT ON COLUMN late_arrivals.arrived_at IS 'When they came.';
CREATE INDEX late_arrivals_series ON late_arrivals (series_id, end_time);
CREATE INDEX late_arrivals_arrived ON late_arrivals (arrived_at);
