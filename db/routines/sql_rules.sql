-- The login for SQL rules. Its name contains the database, because roles belong to the whole server. It is a
-- login and not a role for SET ROLE, because a query could reset that.
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
COMMENT ON FUNCTION open_sql_rule_login IS 'Opens the login of SQL rules for a minute, with a new password.';
REVOKE EXECUTE ON FUNCTION open_sql_rule_login FROM PUBLIC;

-- Runs the SQL of a rule. Rows and errors can contain any text, so both are truncated here: the client holds a whole
-- message in memory. The SQL was parsed by itself before, so it cannot close the parenthesis. A timeout is not caught.
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
    'Runs the SQL of a rule with the rights of the caller: each row as JSON, truncated.';
