-- name: unknown
-- The metrics of a list that have no series, in its order.
SELECT given.metric
FROM unnest(%(metrics)s::text[]) WITH ORDINALITY AS given (metric, position)
WHERE NOT EXISTS (SELECT FROM series s WHERE s.metric = given.metric)
ORDER BY position

-- name: like
-- Metrics that share a word or the first letters with a name. The recursion reads one index entry for each metric,
-- however many series it has.
WITH RECURSIVE names AS (
    (SELECT metric FROM series ORDER BY metric LIMIT 1)
    UNION ALL
    SELECT (SELECT s.metric FROM series s WHERE s.metric > names.metric ORDER BY s.metric LIMIT 1)
    FROM names
    WHERE names.metric IS NOT NULL
)
SELECT metric
FROM names
WHERE string_to_array(lower(metric), '_') && string_to_array(lower(%(metric)s::text), '_')
   OR left(lower(metric), 2) = left(lower(%(metric)s::text), 2)
LIMIT %(limit)s
