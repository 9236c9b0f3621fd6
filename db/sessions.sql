-- name: own_pid
SELECT pg_backend_pid()

-- name: is_idle
-- The state is unknown for a session of another role, or on a server without track_activities.
SELECT coalesce(
    (SELECT coalesce(state LIKE 'idle%%', false)
            AND state_change < clock_timestamp() - make_interval(secs => %(since_s)s::float8)
     FROM pg_stat_activity
     WHERE pid = %(pid)s),
    true
)
