-- The whole life of an alert: what a rule asks before it fires and before it lets go, the state of each
-- thing it looks at, and every kind of step in the audit.

CREATE FUNCTION level_limits(p_levels jsonb) RETURNS double precision[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT ARRAY[(p_levels ->> 'info')::double precision, (p_levels ->> 'warning')::double precision,
                 (p_levels ->> 'critical')::double precision, (p_levels ->> 'emergency')::double precision]
$$;
COMMENT ON FUNCTION level_limits IS 'The limits of levels, quietest first; null: the level has none.';

ALTER TABLE alert_rules
    DROP CONSTRAINT alert_rules_kind_check,
    DROP CONSTRAINT alert_rules_agg_check,
    DROP CONSTRAINT alert_rules_window_s_check,
    ALTER COLUMN metric DROP NOT NULL,
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    ADD COLUMN recovery jsonb,
    ADD COLUMN for_s integer NOT NULL DEFAULT 0 CHECK (for_s >= 0),
    ADD COLUMN keep_firing_for_s integer NOT NULL DEFAULT 0 CHECK (keep_firing_for_s >= 0),
    ADD COLUMN no_data text NOT NULL DEFAULT 'keep' CHECK (no_data IN ('keep', 'ok', 'alert')),
    ADD COLUMN on_error text NOT NULL DEFAULT 'keep' CHECK (on_error IN ('keep', 'ok', 'alert')),
    ADD COLUMN no_data_level text NOT NULL DEFAULT 'warning'
        CHECK (no_data_level IN ('info', 'warning', 'critical', 'emergency')),
    ADD COLUMN escalate_after_s integer CHECK (escalate_after_s > 0),
    ADD COLUMN flap_count integer NOT NULL DEFAULT 0 CHECK (flap_count BETWEEN 0 AND 100),
    ADD COLUMN flap_window_s integer NOT NULL DEFAULT 3600 CHECK (flap_window_s > 0),
    ADD COLUMN over text,
    ADD COLUMN offset_s integer NOT NULL DEFAULT 0 CHECK (offset_s >= 0 AND offset_s % 60 = 0),
    ADD COLUMN is_relative boolean NOT NULL DEFAULT false,
    ADD COLUMN all_of text[] NOT NULL DEFAULT '{}',
    ADD COLUMN any_of text[] NOT NULL DEFAULT '{}',
    ADD COLUMN none_of text[] NOT NULL DEFAULT '{}',
    ADD COLUMN objective double precision CHECK (objective > 0 AND objective < 100),
    ADD COLUMN short_window_s integer,
    ADD COLUMN sql text,
    ADD COLUMN runbook text,
    ADD COLUMN error text,
    ADD COLUMN error_at timestamptz,
    ADD COLUMN updated_by text NOT NULL DEFAULT 'vigia',
    ADD COLUMN limits double precision[] GENERATED ALWAYS AS (level_limits(levels)) STORED,
    ADD COLUMN recoveries double precision[] GENERATED ALWAYS AS (level_limits(recovery)) STORED,
    ADD CHECK (kind IN ('threshold', 'absence', 'change', 'ratio', 'composite', 'burn', 'sql')),
    ADD CHECK (agg IN ('avg', 'min', 'max', 'sum', 'count', 'first', 'last', 'stddev', 'rate', 'p50', 'p90', 'p95', 'p99')),
    ADD CHECK (window_s BETWEEN 1 AND 86400),
    ADD CHECK (metric IS NOT NULL OR kind IN ('composite', 'burn', 'sql'));
COMMENT ON COLUMN alert_rules.kind IS 'How it decides: threshold, absence, change, ratio, composite, burn or sql.';
COMMENT ON COLUMN alert_rules.metric IS 'Metric it looks at; null where the kind looks at something else.';
COMMENT ON COLUMN alert_rules.agg IS 'Aggregate over the window: as in the history, without those of groups.';
COMMENT ON COLUMN alert_rules.window_s IS 'Length of the window in seconds. Whole minutes read the 1m tier, others the samples.';
COMMENT ON COLUMN alert_rules.labels IS 'Labels that a series must have to be covered.';
COMMENT ON COLUMN alert_rules.recovery IS 'Value per level at which it is left; null: its limit.';
COMMENT ON COLUMN alert_rules.for_s IS 'Seconds that the limit must be broken before the alert opens.';
COMMENT ON COLUMN alert_rules.keep_firing_for_s IS 'Seconds of calm before the alert resolves.';
COMMENT ON COLUMN alert_rules.no_data IS 'When nothing was measured: keep what is, as if it were ok, or alert.';
COMMENT ON COLUMN alert_rules.on_error IS 'When the rule cannot be evaluated: keep what is, as if it were ok, or alert.';
COMMENT ON COLUMN alert_rules.no_data_level IS 'Level of an alert about no data or an error.';
COMMENT ON COLUMN alert_rules.escalate_after_s IS 'Seconds without acknowledgement after which an alert goes up a level; null: never.';
COMMENT ON COLUMN alert_rules.flap_count IS 'So many openings within flap_window_s are flapping; 0: nothing is.';
COMMENT ON COLUMN alert_rules.flap_window_s IS 'Window of flap_count; an alert that flaps stays open until this long calm.';
COMMENT ON COLUMN alert_rules.over IS 'Of a ratio: the metric it is divided by.';
COMMENT ON COLUMN alert_rules.offset_s IS 'Of a change: how far back it is compared with.';
COMMENT ON COLUMN alert_rules.is_relative IS 'Of a change: whether it is measured in percent of what was.';
COMMENT ON COLUMN alert_rules.all_of IS 'Of a composite: rules of which each must fire.';
COMMENT ON COLUMN alert_rules.any_of IS 'Of a composite: rules of which one must fire.';
COMMENT ON COLUMN alert_rules.none_of IS 'Of a composite: rules of which none may fire.';
COMMENT ON COLUMN alert_rules.objective IS 'Of a burn rate: the availability that is promised, in percent.';
COMMENT ON COLUMN alert_rules.short_window_s IS 'Of a burn rate: the window that says whether it still burns.';
COMMENT ON COLUMN alert_rules.sql IS 'Of kind sql: the question; each row it returns is something to alert about.';
COMMENT ON COLUMN alert_rules.runbook IS 'Where it says what to do.';
COMMENT ON COLUMN alert_rules.error IS 'Why it could not be evaluated the last time; null: it could.';
COMMENT ON COLUMN alert_rules.error_at IS 'Since when it cannot be evaluated.';
COMMENT ON COLUMN alert_rules.updated_by IS 'Who last changed it; vigia: as it was shipped.';
COMMENT ON COLUMN alert_rules.limits IS 'The limits of levels, quietest first.';
COMMENT ON COLUMN alert_rules.recoveries IS 'The values of recovery, quietest first.';

ALTER TABLE system_alerts ADD COLUMN is_flapping boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN system_alerts.is_flapping IS 'Whether it opened so often that it now waits for a long calm.';
DROP INDEX system_alerts_open;
CREATE INDEX system_alerts_open ON system_alerts (id) WHERE state <> 'resolved';
CREATE INDEX system_alerts_component ON system_alerts (component) WHERE state <> 'resolved';

ALTER TABLE system_alert_events
    DROP CONSTRAINT system_alert_events_type_check,
    ADD CHECK (type IN ('opened', 'escalated', 'lowered', 'acknowledged', 'commented', 'resolved', 'reopened'));
COMMENT ON COLUMN system_alert_events.type IS 'opened, escalated, lowered, acknowledged, commented, resolved or reopened.';
COMMENT ON COLUMN system_alert_events.comment IS 'What that person said, or why the service did it.';

-- Written only when something changes, so that a quiet minute writes nothing: every timer is a moment.
CREATE TABLE alert_states (
    rule_id       integer NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    component     text NOT NULL,
    labels        jsonb NOT NULL,
    phase         text NOT NULL CHECK (phase IN ('ok', 'pending', 'firing')),
    since         timestamptz,
    calm_since    timestamptz,
    missing_since timestamptz,
    value_rank    integer NOT NULL,
    floor_rank    integer NOT NULL,
    raised_at     timestamptz,
    acknowledged  boolean NOT NULL,
    opens         timestamptz[] NOT NULL,
    is_flapping   boolean NOT NULL,
    alert_id      bigint REFERENCES system_alerts ON DELETE SET NULL,
    PRIMARY KEY (rule_id, component, labels)
) WITH (fillfactor = 70);
COMMENT ON TABLE alert_states IS 'Where each rule stands with each thing it looks at; no row: all is well.';
COMMENT ON COLUMN alert_states.rule_id IS 'The rule.';
COMMENT ON COLUMN alert_states.component IS 'Component of the thing; empty for one that belongs to none.';
COMMENT ON COLUMN alert_states.labels IS 'Labels of the thing.';
COMMENT ON COLUMN alert_states.phase IS 'ok, pending or firing.';
COMMENT ON COLUMN alert_states.since IS 'Since when it is pending, without the time in which nobody looked; or when it fired.';
COMMENT ON COLUMN alert_states.calm_since IS 'Since when a firing one would resolve, if it did not have to be kept.';
COMMENT ON COLUMN alert_states.missing_since IS 'The last minute that had data, while there is none and the state is kept.';
COMMENT ON COLUMN alert_states.value_rank IS 'Level that the value asks for: 0 none, 1 info to 4 emergency.';
COMMENT ON COLUMN alert_states.floor_rank IS 'Level that it was raised to because nobody acknowledged it.';
COMMENT ON COLUMN alert_states.raised_at IS 'When its level last rose.';
COMMENT ON COLUMN alert_states.acknowledged IS 'Whether someone took it on.';
COMMENT ON COLUMN alert_states.opens IS 'When it last opened, as often as flapping is counted.';
COMMENT ON COLUMN alert_states.is_flapping IS 'Whether it opened so often that it waits for a long calm.';
COMMENT ON COLUMN alert_states.alert_id IS 'Its open alert.';
CREATE INDEX alert_states_alert ON alert_states (alert_id) WHERE alert_id IS NOT NULL;

-- What is open goes on under its rule.
INSERT INTO alert_states (rule_id, component, labels, phase, since, value_rank, floor_rank, raised_at,
                          acknowledged, opens, is_flapping, alert_id)
SELECT DISTINCT ON (r.id, a.component, a.labels)
       r.id, a.component, a.labels, 'firing', a.opened_at,
       array_position(ARRAY['info', 'warning', 'critical', 'emergency'], a.level), 0, a.opened_at,
       a.state = 'acknowledged', '{}', false, a.id
FROM system_alerts a
JOIN alert_rules r ON r.name = a.rule
WHERE a.state <> 'resolved'
ORDER BY r.id, a.component, a.labels, a.id DESC;

CREATE TABLE alert_clock (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    evaluated_at timestamptz
) WITH (fillfactor = 10);
COMMENT ON TABLE alert_clock IS 'The newest minute that was evaluated, in one row: who changes alerts holds it.';
COMMENT ON COLUMN alert_clock.one IS 'There is one row.';
COMMENT ON COLUMN alert_clock.evaluated_at IS 'The minute; what lies between it and the next is time in which nobody looked.';
INSERT INTO alert_clock (evaluated_at)
SELECT max(time) FROM system_alert_events;
