-- The login with which SQL rules run: a role of this database alone, for roles belong to the
-- whole server. It is a login and no role that is taken on, because what was taken on can be given up again.
CREATE OR REPLACE FUNCTION open_sql_rule_login(p_role text, p_verifier text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole(p_role) IS NULL THEN
        EXECUTE format('CREATE ROLE %I LOGIN CONNECTION LIMIT 8 IN ROLE vigia_reader', p_role);
        BEGIN
            EXECUTE format('ALTER ROLE %I SET temp_file_limit = ''256MB''', p_role);
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;
        END;
    END IF;
    EXECUTE format('ALTER ROLE %I PASSWORD %L VALID UNTIL %L', p_role, p_verifier, now() + interval '1 minute');
END
$$;
COMMENT ON FUNCTION open_sql_rule_login IS 'Lets the login of SQL rules in for a minute, with a new password.';
REVOKE EXECUTE ON FUNCTION open_sql_rule_login FROM PUBLIC;

-- What the SQL of a rule answers, and what it fails with, cut off here so that nothing is too large for who asked: both
-- may hold any text, and who receives it has to hold it as a whole. The SQL was parsed alone, so it does not close
-- the parenthesis. A deadline is no error here, and passes.
CREATE OR REPLACE FUNCTION run_sql_rule(p_sql text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        E'SELECT left(to_jsonb(answer.*)::text, 10001) FROM (%s\n) AS answer LIMIT 1001', p_sql
    );
EXCEPTION
    WHEN OTHERS THEN
        RAISE EXCEPTION USING MESSAGE = left(SQLERRM, 500), ERRCODE = SQLSTATE;
END
$$;
COMMENT ON FUNCTION run_sql_rule IS
    'Runs the SQL of a rule with the rights of who calls it: each row as JSON, cut off.';
