-- The statements of samples/database/incarnation.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i samples/database/incarnation.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :future, the service binds as a parameter.

\set future 'interval ''10 minutes'''

BEGIN;

-- TRY_SAMPLE
-- The caller rolls this back. It writes a sample of its own series: no other session can lock its rows, so an error
-- here concerns every sample. Keep it similar to `upsert` of series.sql, and `insert` and `note` of insert.sql. They
-- share the parts for rows that exist already.
WITH made AS (
    INSERT INTO series (metric, component, category, labels, unit, kind, resolution)
    VALUES ('service_write_tries', 'server', 'system', jsonb_build_object('try', gen_random_uuid()), '', 'gauge', NULL)
    -- The newest declaration of a series wins. An empty unit or resolution keeps the stored one.
    ON CONFLICT (metric, component, labels) DO UPDATE
    SET category = excluded.category,
        unit = coalesce(nullif(excluded.unit, ''), series.unit),
        kind = excluded.kind,
        resolution = coalesce(excluded.resolution, series.resolution)
    RETURNING id
), state AS (
    INSERT INTO series_state (series_id, first_time, last_time, last_value)
    SELECT id, now(), now(), 0 FROM made
    -- Updates the newest sample of a series when other samples arrive.
    ON CONFLICT (series_id) DO UPDATE
    SET first_time = least(series_state.first_time, excluded.first_time),
        last_time = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                         THEN excluded.last_time ELSE series_state.last_time END,
        last_value = CASE WHEN excluded.last_time > series_state.last_time OR (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN excluded.last_value ELSE series_state.last_value END,
        ahead_time = CASE WHEN (excluded.last_time < series_state.last_time
             AND series_state.last_time > (SELECT now() + :future::interval)
             AND excluded.last_time <= (SELECT now() + :future::interval))
                          THEN greatest(series_state.ahead_time, series_state.last_time)
                          ELSE series_state.ahead_time END
)
INSERT INTO system_metrics (series_id, time, value)
SELECT id, now(), 0 FROM made
ON CONFLICT DO NOTHING;

ROLLBACK;
