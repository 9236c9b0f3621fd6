-- Tables, columns and values take the words that Prometheus and Alertmanager have for them.

-- Which series each rule reads, and what is computed of them.
ALTER TABLE alert_needs RENAME TO rule_inputs;
ALTER SEQUENCE alert_needs_id_seq RENAME TO rule_inputs_id_seq;
ALTER TABLE rule_inputs RENAME CONSTRAINT alert_needs_pkey TO rule_inputs_pkey;
ALTER TABLE rule_inputs RENAME CONSTRAINT alert_needs_series_id_fkey TO rule_inputs_series_id_fkey;
ALTER TABLE rule_inputs RENAME CONSTRAINT alert_needs_series_id_window_s_shift_s_source_key
    TO rule_inputs_series_id_window_s_shift_s_source_key;
UPDATE rule_inputs
SET source = CASE source WHEN 'sums' THEN 'basic_aggregates' ELSE 'extended_aggregates' END
WHERE source IN ('sums', 'moments');
COMMENT ON TABLE rule_inputs IS 'Window aggregates that rules read each minute: each one once, for however many rules.';
COMMENT ON COLUMN rule_inputs.source IS 'What is read: basic_aggregates or extended_aggregates of the 1m tier, samples or distributions.';

ALTER TABLE alert_targets RENAME TO rule_series;
ALTER TABLE rule_series RENAME COLUMN need_id TO input_id;
ALTER TABLE rule_series RENAME COLUMN other_need_id TO other_input_id;
ALTER TABLE rule_series RENAME COLUMN quietest TO least_severe;
ALTER TABLE rule_series RENAME CONSTRAINT alert_targets_pkey TO rule_series_pkey;
ALTER TABLE rule_series RENAME CONSTRAINT alert_targets_rule_id_fkey TO rule_series_rule_id_fkey;
ALTER TABLE rule_series RENAME CONSTRAINT alert_targets_series_id_fkey TO rule_series_series_id_fkey;
ALTER TABLE rule_series RENAME CONSTRAINT alert_targets_need_id_fkey TO rule_series_input_id_fkey;
ALTER TABLE rule_series RENAME CONSTRAINT alert_targets_other_need_id_fkey TO rule_series_other_input_id_fkey;
ALTER INDEX alert_targets_series RENAME TO rule_series_series;
ALTER INDEX alert_targets_need RENAME TO rule_series_input;
ALTER INDEX alert_targets_other_need RENAME TO rule_series_other_input;
COMMENT ON TABLE rule_series IS 'Which series each rule reads, brought up to date before each evaluation.';
COMMENT ON COLUMN rule_series.input_id IS 'The window aggregates that it reads.';
COMMENT ON COLUMN rule_series.other_input_id IS 'Those that they are compared with: a ratio with the other metric, a change with the past, a burn rate with its short window.';
COMMENT ON COLUMN rule_series.least_severe IS 'Limit of the least severe level, times the sign.';
COMMENT ON COLUMN alert_rules.is_covered IS 'Whether rule_series has the series that it reads, as they are now.';
COMMENT ON COLUMN series.is_covered IS 'Whether rule_series has the rules that read it, as they are now.';

ALTER TRIGGER drop_needs ON rule_series RENAME TO drop_inputs;
ALTER FUNCTION drop_needs() RENAME TO drop_inputs;
CREATE OR REPLACE FUNCTION drop_inputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rule_inputs n
    WHERE n.id IN (SELECT input_id FROM gone UNION ALL SELECT other_input_id FROM gone)
      AND NOT EXISTS (SELECT FROM rule_series t WHERE t.input_id = n.id)
      AND NOT EXISTS (SELECT FROM rule_series t WHERE t.other_input_id = n.id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION drop_inputs IS 'Deletes the window aggregates that no rule reads any more.';

-- When rules are evaluated.
ALTER TABLE alert_clock RENAME TO evaluation_clock;
ALTER TABLE evaluation_clock RENAME CONSTRAINT alert_clock_pkey TO evaluation_clock_pkey;
ALTER TABLE evaluation_clock RENAME CONSTRAINT alert_clock_one_check TO evaluation_clock_one_check;
COMMENT ON TABLE evaluation_clock IS 'The newest minute that was evaluated, in one row: a transaction that changes alerts locks it.';
COMMENT ON COLUMN evaluation_clock.evaluated_at IS 'The minute; what lies between it and the next is an evaluation gap.';

ALTER TABLE alert_gaps RENAME TO evaluation_gaps;
ALTER TABLE evaluation_gaps RENAME CONSTRAINT alert_gaps_pkey TO evaluation_gaps_pkey;
ALTER TABLE evaluation_gaps RENAME CONSTRAINT alert_gaps_check TO evaluation_gaps_check;

ALTER TABLE question_clock RENAME TO sql_rule_clock;
ALTER TABLE sql_rule_clock RENAME CONSTRAINT question_clock_pkey TO sql_rule_clock_pkey;
ALTER TABLE sql_rule_clock RENAME CONSTRAINT question_clock_one_check TO sql_rule_clock_one_check;
COMMENT ON TABLE sql_rule_clock IS 'The newest minute in which SQL rules ran: in each, one replica runs them.';

-- The rules.
ALTER TABLE shipped_rules RENAME TO built_in_rules;
ALTER TABLE built_in_rules RENAME CONSTRAINT shipped_rules_pkey TO built_in_rules_pkey;
COMMENT ON TABLE built_in_rules IS 'Built-in rules, each inserted once; what people make of them afterwards stays.';
COMMENT ON COLUMN built_in_rules.name IS 'Name of the rule in the program.';
COMMENT ON COLUMN alert_rules.updated_by IS 'Who last changed it; vigia: it is as built in.';
COMMENT ON COLUMN alert_rules.for_s IS 'Seconds that the limit must be breached before the alert opens.';
COMMENT ON COLUMN alert_rules.keep_firing_for_s IS 'Seconds that it must be clear before the alert resolves.';
COMMENT ON COLUMN alert_rules.flap_window_s IS 'Window of flap_count; an alert that flaps stays open until it was clear for this long.';
COMMENT ON COLUMN alert_rules.sql IS 'Of kind sql: the query; its rows are stored as samples of the metric.';
COMMENT ON COLUMN alert_rules.limits IS 'The limits of levels, the least severe first.';
COMMENT ON COLUMN alert_rules.recoveries IS 'The values of recovery, the least severe first.';
COMMENT ON COLUMN alert_rules.level IS 'Of a composite: level of its alerts; null: the most severe of the rules that fire.';
COMMENT ON FUNCTION level_limits IS 'The limits of levels, the least severe first; null: the level has none.';

UPDATE alert_rules
SET metric = CASE metric WHEN 'alert_question_rows' THEN 'sql_rule_rows' ELSE metric END,
    over = CASE over WHEN 'alert_question_rows' THEN 'sql_rule_rows' ELSE over END
WHERE 'alert_question_rows' IN (metric, over);
UPDATE series SET metric = 'sql_rule_rows' WHERE metric = 'alert_question_rows';

-- The alerts.
ALTER TABLE alert_states RENAME COLUMN calm_since TO clear_since;
COMMENT ON TABLE alert_states IS 'State of each rule with each instance (component and labels); no row: all is well.';
COMMENT ON COLUMN alert_states.component IS 'Component of the instance; empty for one that belongs to none.';
COMMENT ON COLUMN alert_states.labels IS 'Labels of the instance.';
COMMENT ON COLUMN alert_states.clear_since IS 'Since when a firing one is clear and would resolve, if keep_firing_for did not keep it.';
COMMENT ON COLUMN alert_states.is_flapping IS 'Whether it opened so often that it must be clear for long.';
COMMENT ON COLUMN system_alerts.is_flapping IS 'Whether it opened so often that it must be clear for long.';

ALTER TABLE system_alerts RENAME COLUMN held_by TO suppressed_by;
COMMENT ON COLUMN system_alerts.suppressed_by IS 'What suppresses its notifications, or did when it ended: silence:3, maintenance:backup, dependency:database.';
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('alerts') AND attname = 'held_by') THEN
        ALTER VIEW alerts RENAME COLUMN held_by TO suppressed_by;
    END IF;
END
$$;

ALTER TABLE system_alert_events DROP CONSTRAINT system_alert_events_type_check;
UPDATE system_alert_events
SET type = CASE type WHEN 'held' THEN 'suppressed' ELSE 'unsuppressed' END
WHERE type IN ('held', 'released');
ALTER TABLE system_alert_events ADD CONSTRAINT system_alert_events_type_check CHECK (type IN (
    'opened', 'escalated', 'lowered', 'acknowledged', 'commented', 'suppressed', 'unsuppressed', 'resolved', 'reopened'));
COMMENT ON TABLE system_alert_events IS 'Each transition of each alert: the audit.';
COMMENT ON COLUMN system_alert_events.id IS 'Order of the transitions.';
COMMENT ON COLUMN system_alert_events.type IS 'opened, escalated, lowered, acknowledged, commented, suppressed, unsuppressed, resolved or reopened.';
COMMENT ON COLUMN system_alert_events.level IS 'Level after the transition.';
COMMENT ON COLUMN system_alert_events.value IS 'Value that led to the transition.';
COMMENT ON COLUMN system_alert_events.is_announced IS 'Whether clients and channels were informed, which happens in one transaction.';

-- Clients read past events again when they come back, as the alerts that they know.
UPDATE events
SET payload = payload - 'held_by' || jsonb_build_object('suppressed_by', payload -> 'held_by')
WHERE type = 'alert_resolved' AND payload ? 'held_by';
UPDATE events
SET payload = jsonb_set(payload, '{alerts}', (
    SELECT jsonb_agg(alert - 'held_by' || jsonb_build_object('suppressed_by', alert -> 'held_by') ORDER BY place)
    FROM jsonb_array_elements(payload -> 'alerts') WITH ORDINALITY item (alert, place)))
WHERE type = 'alerts' AND payload -> 'alerts' @> '[{}]' AND payload -> 'alerts' -> 0 ? 'held_by';

-- The security audit, and the components that are probed.
UPDATE security_events SET type = 'suppression_changed' WHERE type = 'quiet_changed';
COMMENT ON TABLE security_events IS 'The security audit: who was refused, and who changed settings, rules, suppression, and keys.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, key_created, key_revoked, admin_created or first_admin_created.';
COMMENT ON COLUMN security_events.actor IS 'Who; empty: not authenticated.';

ALTER TABLE watched_components RENAME COLUMN let_go_at TO removed_at;
COMMENT ON TABLE watched_components IS 'External components that the settings probe, or probed.';
COMMENT ON COLUMN watched_components.removed_at IS 'When it was removed from the settings; null: it is probed.';

-- Routines by their old names; db/routines has them anew.
DROP FUNCTION IF EXISTS in_share, broken_limit, answer_question, open_questions;
