-- A lock of a session outlives its transaction; that of a file must not.
SELECT pg_advisory_unlock_all()
