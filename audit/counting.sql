-- name: count
-- Counts the events that were not counted before, by type and actor, and marks them. So each row is counted once,
-- whenever it was committed. Types without an event count 0, and so do actors with an event in the last hour. The
-- result is empty if another replica has counted this slot: the update of `security_clock` locks its row. After the
-- clock was set back by more than `set_back_max`, slots are counted from the new time. `events` are those of the slot.
WITH slot AS (
    UPDATE security_clock SET counted_at = %(at)s::timestamptz
    WHERE counted_at < %(at)s::timestamptz OR counted_at > %(at)s::timestamptz + %(set_back_max)s::interval
    RETURNING counted_at
), counted AS (
    UPDATE security_events e SET counted_at = slot.counted_at
    FROM slot
    WHERE e.counted_at IS NULL
    RETURNING e.id, e.time, e.type, e.actor, e.address, e.detail, e.count
)
SELECT type, actor, sum(count)::double precision AS count,
       coalesce(jsonb_agg(event) FILTER (WHERE event IS NOT NULL), '[]') AS events
FROM (
    SELECT type, actor, count, to_jsonb(counted) AS event FROM counted
    UNION ALL
    SELECT type, actor, 0, NULL FROM security_events
    WHERE counted_at > %(at)s::timestamptz - interval '1 hour' AND counted_at < %(at)s::timestamptz
    UNION ALL
    SELECT type, '', 0, NULL FROM unnest(%(types)s::text[]) AS t (type)
) AS found
WHERE EXISTS (SELECT FROM slot)
GROUP BY type, actor
ORDER BY type, actor
