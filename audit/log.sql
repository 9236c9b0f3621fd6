-- name: log
INSERT INTO security_events (time, type, actor, address, detail, count)
SELECT *
FROM unnest(%(times)s::timestamptz[], %(types)s::text[], %(actors)s::text[], %(addresses)s::text[],
            %(details)s::text[], %(counts)s::bigint[])

-- name: past
SELECT id, time, type, actor, address, detail, count
FROM security_events
WHERE id < %(before)s AND time >= %(start)s::timestamptz AND time < %(end)s::timestamptz
  AND (%(type)s::text IS NULL OR type = %(type)s)
ORDER BY id DESC
LIMIT %(limit)s

-- name: drop_old
DELETE FROM security_events WHERE time < %(before)s AND type = ANY (%(types)s)
