-- Back to an empty database, in one statement string and so in one transaction.
TRUNCATE system_metrics, system_distributions, component_checks, series, series_state, late_ranges, late_samples, alert_gaps,
         system_alerts, system_alert_events, alert_rules, alert_states, alert_silences, untold_alerts,
         maintenance_windows, shipped_rules, watched_components, component_status, events, security_events, maintenance_runs,
         monitoring_config, monitoring_config_history, api_keys, sessions, sign_in_links RESTART IDENTITY CASCADE;
TRUNCATE system_metrics_1m;
TRUNCATE system_metrics_5m;
TRUNCATE system_metrics_1h;
TRUNCATE system_metrics_1d;
TRUNCATE system_counters_5m;
TRUNCATE system_counters_1h;
TRUNCATE system_counters_1d;
TRUNCATE system_distributions_5m;
TRUNCATE system_distributions_1h;
TRUNCATE system_distributions_1d;
TRUNCATE component_uptime_1h;
UPDATE event_counter SET seq = 0;
UPDATE alert_clock SET evaluated_at = NULL;
SELECT setval('alert_minute', 1, false);
UPDATE security_clock SET counted_at = '-infinity';
UPDATE question_clock SET asked_at = '-infinity';
UPDATE tiers SET keep = NULL, keep_applied = NULL, compress_after = NULL,
                 refreshed_to = '-infinity', dropped_to = '-infinity';
