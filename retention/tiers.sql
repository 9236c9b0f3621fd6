-- name: set
UPDATE tiers
SET keep = %(keep)s::interval,
    keep_applied = CASE WHEN %(keep)s::interval IS NULL THEN NULL ELSE keep_applied END,
    compress_after = %(compress_after)s::interval
WHERE name = %(name)s
  AND (keep IS DISTINCT FROM %(keep)s::interval OR compress_after IS DISTINCT FROM %(compress_after)s::interval)

-- name: read
SELECT name, relation, keep, compress_after,
       nullif(refreshed_to, '-infinity') AS refreshed_to, nullif(dropped_to, '-infinity') AS dropped_to
FROM tiers
ORDER BY position

-- name: accepted_from
-- Two days later than the end of the retention, so that the next maintenance run still rolls the sample up. Never
-- before the time up to which chunks were dropped: a bucket there could not be rolled up without its other samples.
SELECT nullif(greatest(max(dropped_to), %(now)s::timestamptz - min(keep) + interval '2 days'), '-infinity')
FROM tiers
WHERE name IN ('raw', 'distributions')

-- name: find_job
SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'maintain'

-- name: add_job
SELECT add_job('maintain', %(every)s)

-- name: due_jobs
-- Every job that TimescaleDB's scheduler would run. Vigia runs them itself on an engine without a scheduler.
SELECT job_id, proc_name, schedule_interval
FROM timescaledb_information.jobs
WHERE scheduled AND proc_name <> 'policy_telemetry'
ORDER BY job_id

-- name: record_failure
UPDATE maintenance_runs SET error = %(error)s
WHERE id = (SELECT max(id) FROM maintenance_runs WHERE finished_at IS NULL AND error IS NULL)

-- name: last_run
SELECT started_at, finished_at, step, refreshed, compressed, dropped, error
FROM maintenance_runs
ORDER BY id DESC
LIMIT 1

-- name: maintain
CALL maintain(NULL, jsonb_strip_nulls(jsonb_build_object(
    'now', %(now)s::timestamptz, 'force', %(force)s::boolean, 'budget', %(budget)s::interval
)))

-- name: is_paused
SELECT step LIKE 'paused %%' AND finished_at IS NULL AND error IS NULL
FROM maintenance_runs
ORDER BY id DESC
LIMIT 1

-- name: run_job
CALL run_job(%(job_id)s)

-- name: checkpoint
CHECKPOINT

-- name: wal_bytes
-- The bytes of WAL since the last checkpoint.
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), redo_lsn)::bigint FROM pg_control_checkpoint()

-- name: rewritten_tables
SELECT name FROM rewritten_tables()

-- name: vacuum_table
VACUUM {table}

-- name: vacuum_invalidations
-- TimescaleDB's logs of ranges to refresh. Each refresh replaces their rows.
VACUUM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log,
       _timescaledb_catalog.continuous_aggs_materialization_invalidation_log

-- name: vacuum_and_analyze
VACUUM (ANALYZE) {table}

-- name: updated_tables
-- The tables whose rows are updated or deleted.
SELECT unnest(ARRAY[
    'series', 'series_state', 'host_state', 'host_clock', 'component_status', 'event_counter', 'tiers', 'late_ranges',
    'late_samples',
    'evaluation_gaps',
    'maintenance_runs', 'system_alerts', 'alert_rules', 'rule_series', 'rule_inputs', 'alert_states',
    'evaluation_clock',
    'system_alert_events', 'deliveries', 'delivery_addresses', 'events', 'sessions', 'sign_in_links', 'replica_tokens'
])
