-- name: own_pid
SELECT pg_backend_pid()

-- name: is_idle
-- A session of another role, or of a server that tracks nothing, has no state that tells.
SELECT coalesce(
    (SELECT coalesce(state LIKE 'idle%%', false)
            AND state_change < clock_timestamp() - make_interval(secs => %(since_s)s::float8)
     FROM pg_stat_activity
     WHERE pid = %(pid)s),
    true
)
