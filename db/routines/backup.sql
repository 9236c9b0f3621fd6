-- A snapshot does not protect against a chunk that is truncated or dropped. So the maintenance waits here first, while
-- a backup reads the chunks, and a backup waits for a running drop. The caller's transaction must hold no other lock,
-- or the two could deadlock.
CREATE OR REPLACE PROCEDURE await_backup()
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(7318009)
$$;
COMMENT ON PROCEDURE await_backup IS
    'Waits for a backup that reads the chunks, and prevents a new one until the transaction ends.';
