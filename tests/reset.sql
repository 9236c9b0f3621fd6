-- Back to an empty database, in one statement and so in one transaction. A TRUNCATE costs several
-- milliseconds even on an empty table, and most tests fill few of them: only what holds
-- something is emptied.
DO $$
DECLARE
    name text;
    filled text[];
BEGIN
    -- A table that was never written since it was last emptied has no pages.
    SELECT coalesce(array_agg(relname), '{}') INTO filled
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname IN (
        'series', 'series_state', 'late_ranges', 'late_samples', 'evaluation_gaps',
        'system_alerts', 'system_alert_events', 'alert_rules', 'alert_states', 'alert_silences', 'channels', 'notifications',
        'deliveries', 'delivery_addresses', 'routes', 'policies', 'route_channels', 'notification_groups',
        'notification_group_members', 'notification_pause', 'escalations', 'action_runs', 'contacts', 'schedules',
        'maintenance_windows', 'built_in_rules', 'watched_components', 'component_status', 'events', 'security_events',
        'host_state', 'maintenance_runs', 'monitoring_config', 'monitoring_config_history', 'api_keys', 'sessions', 'sign_in_links'
    ) AND pg_relation_size(oid) > 0;
    -- A hypertable without chunks holds nothing; so do the aggregates over it.
    FOR name IN SELECT DISTINCT h.table_name
        FROM _timescaledb_catalog.hypertable AS h
        JOIN _timescaledb_catalog.chunk AS c ON c.hypertable_id = h.id
        WHERE h.schema_name = 'public'
    LOOP
        filled := filled || name;
    END LOOP;
    IF filled <> '{}' THEN
        EXECUTE 'TRUNCATE ' || (SELECT string_agg(quote_ident(f), ', ') FROM unnest(filled) AS f) || ' CASCADE';
    END IF;
    FOR name IN SELECT a.user_view_name
        FROM _timescaledb_catalog.continuous_agg AS a
        WHERE EXISTS (SELECT FROM _timescaledb_catalog.chunk AS c WHERE c.hypertable_id = a.mat_hypertable_id)
    LOOP
        EXECUTE format('TRUNCATE %I', name);
    END LOOP;
    PERFORM setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
    FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL;
    UPDATE event_counter SET seq = 0 WHERE seq <> 0;
    UPDATE evaluation_clock SET evaluated_at = NULL WHERE evaluated_at IS NOT NULL;
    UPDATE host_clock SET judged_at = '-infinity', counting_since = '-infinity' WHERE judged_at <> '-infinity';
    UPDATE security_clock SET counted_at = '-infinity' WHERE counted_at <> '-infinity';
    UPDATE sql_rule_clock SET asked_at = '-infinity' WHERE asked_at <> '-infinity';
    UPDATE tiers SET keep = NULL, keep_applied = NULL, compress_after = NULL,
                     refreshed_to = '-infinity', dropped_to = '-infinity',
                     late_from = 'infinity', refresh_step = '1 hour'
    WHERE (keep, keep_applied, compress_after, refreshed_to, dropped_to, late_from, refresh_step)
        IS DISTINCT FROM (NULL, NULL, NULL, '-infinity', '-infinity', 'infinity', '1 hour');
END
$$;
