-- A session-level advisory lock outlives its transaction. A lock that a SQL file takes must not.
SELECT pg_advisory_unlock_all()
