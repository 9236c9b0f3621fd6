-- What rules look at, kept: found anew each minute it was a quarter of the work of ten thousand rules.

CREATE TABLE alert_needs (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_id integer NOT NULL REFERENCES series ON DELETE CASCADE,
    window_s  integer NOT NULL,
    shift_s   integer NOT NULL,
    source    text NOT NULL,
    UNIQUE (series_id, window_s, shift_s, source)
);
COMMENT ON TABLE alert_needs IS 'What has to be known of series each minute: once, however many rules ask.';
COMMENT ON COLUMN alert_needs.id IS 'Its number.';
COMMENT ON COLUMN alert_needs.series_id IS 'The series.';
COMMENT ON COLUMN alert_needs.window_s IS 'Length of the window in seconds.';
COMMENT ON COLUMN alert_needs.shift_s IS 'How long ago the window ended, in seconds.';
COMMENT ON COLUMN alert_needs.source IS 'What is read: sums or moments of the 1m tier, samples or distributions.';

CREATE TABLE alert_targets (
    rule_id       integer NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    series_id     integer NOT NULL REFERENCES series ON DELETE CASCADE,
    need_id       integer NOT NULL REFERENCES alert_needs ON DELETE CASCADE,
    other_need_id integer REFERENCES alert_needs ON DELETE CASCADE,
    kind          text NOT NULL,
    aggregate     integer NOT NULL,
    is_relative   boolean NOT NULL,
    budget        double precision,
    sign          integer NOT NULL,
    is_strict     boolean NOT NULL,
    quietest      double precision,
    settings      text,
    is_known      boolean NOT NULL,
    PRIMARY KEY (rule_id, series_id)
);
CREATE INDEX alert_targets_series ON alert_targets (series_id);
CREATE INDEX alert_targets_need ON alert_targets (need_id);
CREATE INDEX alert_targets_other_need ON alert_targets (other_need_id) WHERE other_need_id IS NOT NULL;
COMMENT ON TABLE alert_targets IS 'Which series each rule looks at and what it asks of them, brought up to date before each evaluation.';
COMMENT ON COLUMN alert_targets.rule_id IS 'The rule.';
COMMENT ON COLUMN alert_targets.series_id IS 'The series.';
COMMENT ON COLUMN alert_targets.need_id IS 'What it needs to know.';
COMMENT ON COLUMN alert_targets.other_need_id IS 'What that is compared with: a ratio with the other metric, a change with the past, a burn rate with its short window.';
COMMENT ON COLUMN alert_targets.kind IS 'Kind of the rule.';
COMMENT ON COLUMN alert_targets.aggregate IS 'Place of the aggregate: avg, min, max, sum, count, first, last, stddev, rate, p50, p90, p95, p99.';
COMMENT ON COLUMN alert_targets.is_relative IS 'Whether a change is in percent.';
COMMENT ON COLUMN alert_targets.budget IS 'Of a burn rate: the share that may fail.';
COMMENT ON COLUMN alert_targets.sign IS '1 where larger is worse, -1 where smaller is.';
COMMENT ON COLUMN alert_targets.is_strict IS 'Whether the limit itself is well.';
COMMENT ON COLUMN alert_targets.quietest IS 'Limit of the quietest level, times the sign.';
COMMENT ON COLUMN alert_targets.settings IS 'Metric of whose thresholds in the settings the limits are, when the rule has none.';
COMMENT ON COLUMN alert_targets.is_known IS 'Whether it is remembered that there was data.';

ALTER TABLE alert_rules ADD COLUMN is_covered boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN alert_rules.is_covered IS 'Whether alert_targets has what it looks at, as it is now.';
CREATE INDEX alert_rules_uncovered ON alert_rules (id) WHERE NOT is_covered;

ALTER TABLE series ADD COLUMN is_covered boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN series.is_covered IS 'Whether alert_targets has the rules that look at it, as it is now.';
CREATE INDEX series_uncovered ON series (id) WHERE NOT is_covered;

-- Whoever changes one, by whatever way, has it covered anew.
CREATE FUNCTION uncover() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_covered := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION uncover IS 'What was changed is to be covered anew.';
CREATE TRIGGER uncover BEFORE UPDATE ON alert_rules
    FOR EACH ROW WHEN (OLD.is_covered AND NEW.is_covered) EXECUTE FUNCTION uncover();
CREATE TRIGGER uncover BEFORE UPDATE OF kind ON series
    FOR EACH ROW WHEN (OLD.kind <> NEW.kind) EXECUTE FUNCTION uncover();

-- What nobody asks for any more is not read any more.
CREATE FUNCTION drop_needs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM alert_needs n
    WHERE n.id IN (SELECT need_id FROM gone UNION ALL SELECT other_need_id FROM gone)
      AND NOT EXISTS (SELECT FROM alert_targets t WHERE t.need_id = n.id)
      AND NOT EXISTS (SELECT FROM alert_targets t WHERE t.other_need_id = n.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION drop_needs IS 'Drops what only these targets needed.';
CREATE TRIGGER drop_needs AFTER DELETE ON alert_targets
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION drop_needs();
