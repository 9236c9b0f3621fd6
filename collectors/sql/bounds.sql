-- What holds for the transaction of one file. Nothing interrupts the embedded engine, which complains of
-- timers; a whole answer is wanted, so it is planned as one.
SELECT set_config('lock_timeout', '1s', true),
       set_config('cursor_tuple_fraction', '1', true),
       set_config('search_path', coalesce(%(schema)s::text, current_setting('search_path')), true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END, true)
