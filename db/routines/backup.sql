-- A snapshot does not see that a chunk is emptied or dropped. So whoever does that waits here first, in a transaction
-- that holds nothing else, while a backup reads the chunks; and a backup waits for who has begun.
CREATE OR REPLACE PROCEDURE await_backup()
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(7318009)
$$;
COMMENT ON PROCEDURE await_backup IS
    'Waits for the end of a backup that reads the chunks; none begins until the end of the transaction.';
