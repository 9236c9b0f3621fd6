-- The role of people who only read: it sees the documented views and functions, and nothing else of ours.

-- Roles belong to the whole server, so another database of it may have made this one, even at this moment.
CREATE OR REPLACE FUNCTION make_reader() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('vigia_reader') IS NULL THEN
        BEGIN
            CREATE ROLE vigia_reader NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'there is no role vigia_reader, and % may not make it', current_user;
                RETURN false;
        END;
    END IF;
    -- `vigia sql` takes the role on. Who made it may do so after this, a superuser always, others not.
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
COMMENT ON FUNCTION make_reader IS 'Makes the role vigia_reader where there is none; false: this user may not.';

CREATE OR REPLACE PROCEDURE grant_reader() LANGUAGE plpgsql AS $$
BEGIN
    IF NOT make_reader() THEN
        RETURN;
    END IF;
    GRANT USAGE ON SCHEMA public TO vigia_reader;
    GRANT SELECT ON
        metrics, metrics_1m, metrics_5m, metrics_1h, metrics_1d, metrics_json, catalogue,
        counters_5m, counters_1h, counters_1d, distributions_5m, distributions_1h, distributions_1d,
        components, checks, uptime_hourly, uptime_daily, alerts, alert_events
    TO vigia_reader;
    GRANT EXECUTE ON FUNCTION history, rate, percentiles, percentile, uptime TO vigia_reader;
    -- What a view computes as it is read, is computed with the rights of who reads it.
    GRANT EXECUTE ON FUNCTION
        series_name, log_bucket, log_bucket_value, log_quantile, merge_moments(double precision[]),
        stddev_of, counter_resets(double precision[]),
        counter_resets(double precision[], double precision[], double precision[])
    TO vigia_reader;
END
$$;
COMMENT ON PROCEDURE grant_reader IS
    'Lets vigia_reader read the documented views and functions; called whenever they are made.';

-- A transaction that only reads can still write any amount of log, and fill the lock table of the whole server. This
-- holds in this database alone, and only a superuser can say so; elsewhere `vigia doctor` names the statements.
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
    'Takes functions that act on the whole server from PUBLIC, where this user may.';
CALL revoke_side_effects();
REVOKE EXECUTE ON PROCEDURE revoke_side_effects FROM PUBLIC;

REVOKE EXECUTE ON FUNCTION make_reader FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE grant_reader, maintain FROM PUBLIC;

-- On the embedded engine every session is the superuser's, and nothing but its present role holds a reader
-- back: so a query may not choose another.
DO $$
BEGIN
    IF version() LIKE '%emcc%' THEN
        REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
    END IF;
END
$$;
