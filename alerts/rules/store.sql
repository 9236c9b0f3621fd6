-- name: insert
INSERT INTO alert_rules (
    name, kind, metric, component, labels, category, agg, window_s, op, levels, recovery, for_s, keep_firing_for_s,
    no_data, no_data_level, on_error, escalate_after_s, flap_count, flap_window_s, over, offset_s, is_relative,
    objective, short_window_s, all_of, any_of, none_of, by_component, level, sql,
    enabled, runbook, updated_by, updated_at
)
VALUES (
    %(name)s, %(kind)s, %(metric)s::text, %(component)s::text, %(labels)s::jsonb, %(category)s::text, %(agg)s,
    %(window_s)s, %(op)s, %(levels)s::jsonb, %(recovery)s::jsonb, %(for_s)s, %(keep_firing_for_s)s, %(no_data)s,
    %(no_data_level)s, %(on_error)s, %(escalate_after_s)s::integer, %(flap_count)s, %(flap_window_s)s, %(over)s::text,
    %(offset_s)s, %(is_relative)s, %(objective)s::double precision, %(short_window_s)s::integer, %(all_of)s::text[],
    %(any_of)s::text[], %(none_of)s::text[], %(by_component)s, %(level)s::text, %(sql)s::text,
    %(enabled)s, %(runbook)s::text, %(actor)s, %(time)s
)
ON CONFLICT (name) DO NOTHING

-- name: update
-- The rule keeps its id, so that its open alerts continue under the new definition.
UPDATE alert_rules
SET kind = %(kind)s, metric = %(metric)s::text, component = %(component)s::text, labels = %(labels)s::jsonb,
    category = %(category)s::text, agg = %(agg)s, window_s = %(window_s)s, op = %(op)s, levels = %(levels)s::jsonb,
    recovery = %(recovery)s::jsonb, for_s = %(for_s)s, keep_firing_for_s = %(keep_firing_for_s)s,
    no_data = %(no_data)s, no_data_level = %(no_data_level)s, on_error = %(on_error)s,
    escalate_after_s = %(escalate_after_s)s::integer, flap_count = %(flap_count)s, flap_window_s = %(flap_window_s)s,
    over = %(over)s::text, offset_s = %(offset_s)s, is_relative = %(is_relative)s,
    objective = %(objective)s::double precision, short_window_s = %(short_window_s)s::integer,
    all_of = %(all_of)s::text[],
    any_of = %(any_of)s::text[], none_of = %(none_of)s::text[], by_component = %(by_component)s,
    level = %(level)s::text,
    sql = %(sql)s::text,
    error = NULL, error_at = NULL, tried_at = NULL, enabled = %(enabled)s,
    runbook = %(runbook)s::text, updated_by = %(actor)s, updated_at = %(time)s
WHERE name = %(name)s

-- name: delete
DELETE FROM alert_rules WHERE name = ANY (%(names)s)

-- name: read
-- Null `names` selects every rule; an empty list selects none.
SELECT id, name, kind, metric, component, labels, category, agg, window_s, op, levels, recovery, for_s,
       keep_firing_for_s, no_data, no_data_level, on_error, escalate_after_s, flap_count, flap_window_s, over,
       offset_s, is_relative,
       objective, short_window_s, all_of, any_of, none_of, by_component, level, sql,
       enabled, runbook, error, error_at, updated_at, updated_by
FROM alert_rules
WHERE (%(names)s::text[] IS NULL OR name = ANY (%(names)s)) AND id > %(after)s
ORDER BY id
LIMIT %(limit)s

-- name: mark_built_in
INSERT INTO built_in_rules (name) VALUES (%(name)s) ON CONFLICT DO NOTHING
