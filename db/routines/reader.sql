-- The role for people who only read. It can use the documented views and functions, and nothing else of Vigia.

-- A role belongs to the whole server. Another database may have created it, even at this moment.
CREATE OR REPLACE FUNCTION make_reader() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('vigia_reader') IS NULL THEN
        BEGIN
            CREATE ROLE vigia_reader NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role vigia_reader does not exist, and % may not create it', current_user;
                RETURN false;
        END;
    END IF;
    -- `vigia sql` sets this role. The role's creator needs this grant for that; a superuser does not.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        BEGIN
            GRANT vigia_reader TO CURRENT_USER;
        EXCEPTION
            WHEN insufficient_privilege OR unique_violation THEN NULL;
        END;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION make_reader IS 'Creates the role vigia_reader if it is missing; false: this user may not.';

CREATE OR REPLACE PROCEDURE grant_reader() LANGUAGE plpgsql AS $$
BEGIN
    IF NOT make_reader() THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA public TO vigia_reader;
    GRANT SELECT ON
        metrics, metrics_1m, metrics_5m, metrics_1h, metrics_1d, metrics_json, catalogue,
        counters_5m, counters_1h, counters_1d, distributions_5m, distributions_1h, distributions_1d,
        components, checks, uptime_hourly, uptime_daily, hosts, alerts, alert_events, delivery_log
    TO vigia_reader;
    GRANT EXECUTE ON FUNCTION history, rate, percentiles, percentile, uptime TO vigia_reader;
    -- A view calls functions with the rights of its reader, so the reader needs EXECUTE on them.
    GRANT EXECUTE ON FUNCTION
        series_name, masked_address, log_bucket, log_bucket_value, log_quantile, merge_moments(double precision[]),
        stddev_of, counter_resets(double precision[]),
        counter_resets(double precision[], double precision[], double precision[])
    TO vigia_reader;
END
$$;
COMMENT ON PROCEDURE grant_reader IS
    'Grants vigia_reader the documented views and functions; called whenever they are created.';

-- A read-only transaction can still write any amount of WAL with these functions, or fill the server's lock table.
-- Revoking them affects only this database, and needs a superuser. Without one, `vigia doctor` shows the statements.
CREATE OR REPLACE PROCEDURE revoke_side_effects() LANGUAGE plpgsql AS $$
DECLARE
    side_effect regprocedure;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN;
    END IF;
    FOR side_effect IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND (proname = 'pg_logical_emit_message' OR proname ~ '^pg_(try_)?advisory_(xact_)?lock')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', side_effect);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE revoke_side_effects IS
    'Revokes functions that affect the whole server from PUBLIC, if this user may.';
CALL revoke_side_effects();
REVOKE EXECUTE ON PROCEDURE revoke_side_effects FROM PUBLIC;

REVOKE EXECUTE ON FUNCTION make_reader FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE grant_reader, maintain FROM PUBLIC;

-- On the embedded engine every session belongs to the superuser, and only the current role restricts a reader. So a
-- query must not be able to set another role.
DO $$
BEGIN
    IF version() LIKE '%emcc%' THEN
        REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
    END IF;
END
$$;
