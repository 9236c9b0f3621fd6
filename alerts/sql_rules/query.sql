-- name: role
SELECT 'vigia_rules_' || oid FROM pg_database WHERE datname = current_database()

-- name: open
SELECT open_sql_rule_login(%(role)s, %(verifier)s)

-- name: due
-- Those that failed come last: they may take all the time that there is.
SELECT id, name, metric, component, category, sql, error IS NOT NULL AS has_failed
FROM alert_rules
WHERE kind = 'sql' AND enabled
ORDER BY error IS NOT NULL, id

-- name: claim
-- Whether this replica asks in this minute; a clock that was set back by more than that is believed.
UPDATE sql_rule_clock SET asked_at = %(at)s::timestamptz
WHERE asked_at < %(at)s::timestamptz OR asked_at > %(at)s::timestamptz + %(set_back_max)s::interval

-- name: bounds
-- The bounds of one statement, and whether its login may do no more than readers.
SELECT set_config('timezone', 'UTC', true), set_config('search_path', 'public', true),
       set_config('lock_timeout', '1s', true), set_config('work_mem', '16MB', true),
       set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true),
       set_config('statement_timeout', %(timeout_ms)s::text, true)

-- name: is_reader
SELECT NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)
   AND NOT EXISTS (
       SELECT FROM pg_roles o
       WHERE o.rolname NOT IN (session_user, 'vigia_reader') AND pg_has_role(r.oid, o.oid, 'MEMBER')
   )
FROM pg_roles r
WHERE r.rolname = session_user

-- name: end_late
-- Ends what the login still runs after its deadline; the server obeys when it next looks, which is not while it
-- computes an expression. What had not ended by then is returned.
-- Materialized, or a session of somebody else might be ended before it is seen to be that.
WITH late AS MATERIALIZED (
    SELECT pid, application_name
    FROM pg_stat_activity
    WHERE usename = session_user AND datname = current_database() AND pid <> pg_backend_pid()
      AND backend_start < clock_timestamp() - make_interval(secs => %(after_s)s)
)
SELECT application_name FROM late WHERE pg_terminate_backend(pid)

-- part: alone
-- The SQL as it stands: what is no whole query by itself goes no further. On one line, so that the lines which
-- errors name are those of the rule.
PREPARE sql AS

-- name: answer
SELECT * FROM run_sql_rule(%(sql)s)
