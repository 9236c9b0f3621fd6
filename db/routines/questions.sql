-- The login with which rules ask questions of their own: a role of this database alone, for roles belong to the
-- whole server. It is a login and no role that is taken on, because what was taken on can be given up again.
CREATE OR REPLACE FUNCTION open_questions(p_role text, p_verifier text) RETURNS void LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION open_questions IS 'Lets the login of rules that ask questions in for a minute, with a new password.';
REVOKE EXECUTE ON FUNCTION open_questions FROM PUBLIC;
