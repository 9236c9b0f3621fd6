-- name: changes
-- The series whose newest sample or declaration changed since an earlier call, in the order of their numbers, and
-- the number of all series. `xmin` is the transaction that wrote a row. The watermark is the oldest transaction that
-- is open now: transactions do not commit in the order in which they begin, so a higher watermark could miss rows.
-- Ages are compared, because transaction numbers wrap around.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS watermark,
       (SELECT count(*) FROM series_state) AS count,
       ARRAY(
           SELECT st.series_id
           FROM series_state st
           WHERE %(since)s::text IS NULL OR age(st.xmin) <= age(%(since)s::text::xid8::xid)
           UNION
           SELECT s.id
           FROM series s
           WHERE age(s.xmin) <= age(%(since)s::text::xid8::xid)
           ORDER BY 1
       ) AS numbers

-- name: values
-- The newest samples of series. Series without a sample are left out.
SELECT s.id, s.metric, s.component, s.category, s.labels, s.unit, st.last_time AS time, st.last_value AS value
FROM series s
JOIN series_state st ON st.series_id = s.id
WHERE s.id = ANY (%(numbers)s::integer[])
ORDER BY s.id

-- name: numbers
SELECT series_id FROM series_state
