-- part: declare_anew
-- The newest declaration of a series wins. An empty unit or resolution keeps the stored one.
ON CONFLICT (metric, component, labels) DO UPDATE
SET category = excluded.category,
    unit = coalesce(nullif(excluded.unit, ''), series.unit),
    kind = excluded.kind,
    resolution = coalesce(excluded.resolution, series.resolution)

-- name: upsert
-- Creates new series only up to the limit, in the order given, and updates known ones. ORDER BY makes concurrent
-- transactions lock the same series in the same order: without it they would deadlock.
WITH given AS (
    SELECT *
    FROM unnest(
        %(metrics)s::text[], %(components)s::text[], %(categories)s::text[], %(labels)s::jsonb[],
        %(units)s::text[], %(kinds)s::text[], %(resolutions)s::double precision[]
    ) WITH ORDINALITY AS given (metric, component, category, labels, unit, kind, resolution, position)
), fresh AS (
    SELECT position, row_number() OVER (ORDER BY position) AS place
    FROM given g
    WHERE NOT EXISTS (
        SELECT FROM series s WHERE s.metric = g.metric AND s.component = g.component AND s.labels = g.labels
    )
), room AS (
    SELECT %(series_max)s - count(*) AS places FROM series
)
INSERT INTO series (metric, component, category, labels, unit, kind, resolution)
SELECT metric, component, category, labels, unit, kind, resolution
FROM given
LEFT JOIN fresh USING (position)
WHERE place IS NULL OR place <= (SELECT places FROM room)
ORDER BY metric, component, labels
{declare_anew}
RETURNING id, metric, component, labels

-- name: identities
SELECT id, metric, component, labels
FROM series
WHERE id > %(after)s
ORDER BY id
LIMIT %(limit)s

-- name: catalogue
SELECT s.id, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       st.first_time, st.last_time
FROM series s
JOIN series_state st ON st.series_id = s.id
WHERE s.id > %(after)s
  AND (%(metric)s::text IS NULL OR s.metric = %(metric)s)
  AND (%(component)s::text IS NULL OR s.component = %(component)s)
ORDER BY s.id
LIMIT %(limit)s

-- name: select
-- Series that a query selects. The given labels must be a subset of the series' labels.
SELECT id, metric, component, labels
FROM series
WHERE metric = ANY (%(metrics)s)
  AND (%(component)s::text IS NULL OR component = %(component)s)
  AND labels @> %(labels)s::jsonb
ORDER BY metric, component, labels
LIMIT %(limit)s
