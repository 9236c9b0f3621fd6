-- Where there is one share, the planner sees that everything is in it.
CREATE OR REPLACE FUNCTION in_share(rule_id integer, component text, labels jsonb, share integer, shares integer)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT shares = 1 OR (hashtextextended(component || labels::text, rule_id) & 65535) % shares = share
$$;
COMMENT ON FUNCTION in_share IS 'Whether what a rule looks at belongs to one of so many equal shares of an evaluation.';
