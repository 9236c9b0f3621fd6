-- What rules and checks of health shard.

-- The levels of alerts, least severe first: the place of a level is its rank, from 1 on.
CREATE OR REPLACE FUNCTION alert_levels() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['info', 'warning', 'critical', 'emergency']
$$;
COMMENT ON FUNCTION alert_levels IS 'The levels of alerts, least severe first.';

-- What people read of a value that breached a limit. It is put into the statements that call it, so a word of it takes
-- no more time than one that stands in them.
CREATE OR REPLACE FUNCTION breach_message(subject text, value double precision, unit text, op text,
    threshold double precision)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT concat_ws(' ', subject, 'is', concat_ws(' ', round(value::numeric, 2), nullif(unit, '')) || ',',
                     CASE WHEN op IN ('>', '>=') THEN 'above' ELSE 'below' END, threshold, nullif(unit, ''))
$$;
COMMENT ON FUNCTION breach_message IS 'Says which limit a value breached: subject is 97.72 percent, above 80 percent.';

-- Where there is one shard, the planner sees that everything is in it.
CREATE OR REPLACE FUNCTION in_shard(rule_id integer, component text, labels jsonb, shard integer, shards integer)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT shards = 1 OR (hashtextextended(component || labels::text, rule_id) & 65535) % shards = shard
$$;
COMMENT ON FUNCTION in_shard IS 'Whether what a rule looks at belongs to one of so many equal shards of an evaluation.';
