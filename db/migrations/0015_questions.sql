-- Rules that ask a question in SQL of their own.

UPDATE alert_rules SET sql = NULL WHERE kind <> 'sql';
ALTER TABLE alert_rules
    DROP CONSTRAINT alert_rules_check,
    ADD CHECK ((kind = 'sql') = (sql IS NOT NULL)),
    ADD CHECK (metric IS NOT NULL OR kind = 'composite');
COMMENT ON COLUMN alert_rules.metric IS 'Metric it looks at; of kind sql, that of the answers; null of a composite.';
COMMENT ON COLUMN alert_rules.sql IS 'Of kind sql: the question; its rows are stored as samples of the metric.';
