-- One rule may cover components of every category; its alerts then have that of the series.

ALTER TABLE alert_rules ALTER COLUMN category DROP NOT NULL;
COMMENT ON COLUMN alert_rules.category IS 'Category of its alerts; null: that of the series.';
