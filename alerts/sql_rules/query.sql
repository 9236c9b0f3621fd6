-- name: role
SELECT 'vigia_rules_' || oid FROM pg_database WHERE datname = current_database()

-- name: open
SELECT open_sql_rule_login(%(role)s, %(verifier)s)

-- name: due
-- Rules that failed come last, because they may run until their timeout.
SELECT id, name, metric, component, category, sql, error IS NOT NULL AS has_failed
FROM alert_rules
WHERE kind = 'sql' AND enabled
ORDER BY error IS NOT NULL, id

-- name: claim
-- Claims a minute for this replica. A minute that lies further back than `set_back_max` is accepted: the clock was set.
UPDATE sql_rule_clock SET asked_at = %(at)s::timestamptz
WHERE asked_at < %(at)s::timestamptz OR asked_at > %(at)s::timestamptz + %(set_back_max)s::interval

-- name: bounds
-- The resource limits of one statement.
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
-- Ends sessions of the login that are past their deadline, and returns their names. The server ends a session at its
-- next interrupt check, which does not happen while it computes one expression.
-- MATERIALIZED, or the planner might call pg_terminate_backend for a row before it checks whose session it is.
WITH late AS MATERIALIZED (
    SELECT pid, application_name
    FROM pg_stat_activity
    WHERE usename = session_user AND datname = current_database() AND pid <> pg_backend_pid()
      AND backend_start < clock_timestamp() - make_interval(secs => %(after_s)s)
)
SELECT application_name FROM late WHERE pg_terminate_backend(pid)

-- part: alone
-- PREPARE checks that the SQL is one complete statement, before run_sql_rule wraps it in another query. It stands on
-- one line, so that line numbers in errors are those of the rule.
PREPARE sql AS

-- part: explain
-- Plans the SQL of a rule as run_sql_rule wraps it, and checks what its login may read, without running it.
EXPLAIN SELECT * FROM (

-- name: answer
SELECT * FROM run_sql_rule(%(sql)s)
