-- Functions that the evaluation of rules and the health checks share.

-- The levels of alerts, least severe first. The position of a level is its rank, from 1.
CREATE OR REPLACE FUNCTION alert_levels() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['info', 'warning', 'critical', 'emergency']
$$;
COMMENT ON FUNCTION alert_levels IS 'The levels of alerts, least severe first.';

-- With one shard, the planner reduces this to true.
CREATE OR REPLACE FUNCTION in_shard(rule_id integer, component text, labels jsonb, shard integer, shards integer)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT shards = 1 OR (hashtextextended(component || labels::text, rule_id) & 65535) % shards = shard
$$;
COMMENT ON FUNCTION in_shard IS 'Whether the key of a series belongs to a shard of an evaluation, out of equal shards.';
