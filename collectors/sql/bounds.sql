-- Settings for the transaction of one SQL file. cursor_tuple_fraction = 1 plans for all rows; the default
-- plans for the first tenth. The embedded engine (version contains 'emcc') supports no timers, so it gets no
-- statement_timeout: the client's deadline applies alone.
SELECT set_config('lock_timeout', '1s', true),
       set_config('cursor_tuple_fraction', '1', true),
       set_config('search_path', coalesce(%(schema)s::text, current_setting('search_path')), true),
       set_config('statement_timeout', CASE WHEN version() LIKE '%%emcc%%' THEN '0' ELSE %(timeout_ms)s::text END, true)
