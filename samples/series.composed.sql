-- The statements of samples/series.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i samples/series.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :categories, the service binds as a parameter.

\set categories 'ARRAY[''system'']'
\set components 'ARRAY[''server'']'
\set kinds 'ARRAY[''gauge'']'
\set labels 'ARRAY[''{}'']'
\set metrics 'ARRAY[''server_cpu_percent'']'
\set resolutions 'ARRAY[NULL]'
\set series_max '100000'
\set units 'ARRAY[''percent'']'

BEGIN;

-- UPSERT
-- Creates new series only up to the limit, in the order given, and updates known ones. ORDER BY makes concurrent
-- transactions lock the same series in the same order: without it they would deadlock.
WITH given AS (
    SELECT *
    FROM unnest(
        :metrics::text[], :components::text[], :categories::text[], :labels::jsonb[],
        :units::text[], :kinds::text[], :resolutions::double precision[]
    ) WITH ORDINALITY AS given (metric, component, category, labels, unit, kind, resolution, position)
), fresh AS (
    SELECT position, row_number() OVER (ORDER BY position) AS place
    FROM given g
    WHERE NOT EXISTS (
        SELECT FROM series s WHERE s.metric = g.metric AND s.component = g.component AND s.labels = g.labels
    )
), room AS (
    SELECT :series_max - count(*) AS places FROM series
)
INSERT INTO series (metric, component, category, labels, unit, kind, resolution)
SELECT metric, component, category, labels, unit, kind, resolution
FROM given
LEFT JOIN fresh USING (position)
WHERE place IS NULL OR place <= (SELECT places FROM room)
ORDER BY metric, component, labels
-- The newest declaration of a series wins. An empty unit or resolution keeps the stored one.
ON CONFLICT (metric, component, labels) DO UPDATE
SET category = excluded.category,
    unit = coalesce(nullif(excluded.unit, ''), series.unit),
    kind = excluded.kind,
    resolution = coalesce(excluded.resolution, series.resolution)
RETURNING id, metric, component, labels;

ROLLBACK;
