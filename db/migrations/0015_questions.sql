-- Rules that ask a question in SQL of their own; and a way to the few rules that an evaluation treats apart.

UPDATE alert_rules SET sql = NULL WHERE kind <> 'sql';
ALTER TABLE alert_rules
    DROP CONSTRAINT alert_rules_check,
    ADD CHECK ((kind = 'sql') = (sql IS NOT NULL)),
    ADD CHECK (metric IS NOT NULL OR kind = 'composite');
COMMENT ON COLUMN alert_rules.metric IS 'Metric it looks at; of kind sql, that of the answers; null of a composite.';
COMMENT ON COLUMN alert_rules.sql IS 'Of kind sql: the question; its rows are stored as samples of the metric.';

CREATE INDEX alert_rules_composite ON alert_rules (id) WHERE kind = 'composite';
CREATE INDEX alert_rules_everywhere ON alert_rules (metric) WHERE component IS NULL;
CREATE INDEX alert_rules_long ON alert_rules (window_s) WHERE window_s > 600;
