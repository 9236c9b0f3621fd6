-- name: behind
-- Channels that the bus has something for, and that have room for it; none while notifications are paused.
SELECT c.channel_id, c.seq
FROM event_cursors c
WHERE NOT EXISTS (SELECT FROM notification_pause)
  AND EXISTS (SELECT FROM events e WHERE e.seq > c.seq)
  AND (SELECT count(*) FROM deliveries d WHERE d.channel_id = c.channel_id AND d.state = 'pending') < %(waiting_max)s
ORDER BY c.channel_id

-- name: follow
-- One delivery with the next events that a channel wants, and its cursor behind them.
--   1. page: the next events, wanted or not. Numbers follow the order of commits, so none is missed.
--   2. taken: as many of them as fit into a body, and one at least.
--   3. moved: the cursor, unless another process has moved it meanwhile; then nothing is written.
--   4. written: the delivery. It is as old as its newest event: none of them is given up within a day.
WITH page AS (
    SELECT e.seq, e.time, w.is_wanted, CASE WHEN w.is_wanted THEN octet_length(e.payload::text) ELSE 0 END AS bytes
    FROM channels c
    CROSS JOIN LATERAL (
        SELECT seq, time, type, payload FROM events WHERE seq > %(seq)s ORDER BY seq LIMIT %(events_max)s
    ) e
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(e.type LIKE replace(replace(p.pattern, '_', '\_'), '*', '%%')), true) AS is_wanted
        FROM jsonb_array_elements_text(c.settings -> 'types') AS p (pattern)
    ) w
    WHERE c.id = %(channel_id)s
), taken AS (
    SELECT seq, time, is_wanted
    FROM (SELECT *, sum(bytes) OVER (ORDER BY seq) AS total FROM page) p
    WHERE total <= %(bytes_max)s OR total = bytes
), batch AS (
    SELECT max(seq) AS reached, count(*) FILTER (WHERE is_wanted) AS events,
           jsonb_agg(seq ORDER BY seq) FILTER (WHERE is_wanted) AS seqs,
           min(seq) FILTER (WHERE is_wanted) AS first, max(seq) FILTER (WHERE is_wanted) AS last,
           max(time) FILTER (WHERE is_wanted) AS newest
    FROM taken
), moved AS (
    UPDATE event_cursors c
    SET seq = b.reached
    FROM batch b
    WHERE c.channel_id = %(channel_id)s AND c.seq = %(seq)s AND b.reached IS NOT NULL
    RETURNING b.events, b.seqs, b.first, b.last, b.newest
), said AS (
    INSERT INTO notifications (kind, event, time, payload)
    SELECT 'events', 'events', m.newest, jsonb_build_object('seqs', m.seqs) FROM moved m WHERE m.events > 0
    RETURNING id
), served AS (
    INSERT INTO delivery_addresses (channel_id) SELECT %(channel_id)s FROM said
    ON CONFLICT DO NOTHING
), written AS (
    INSERT INTO deliveries (key, notification_id, channel_id, channel, priority, state, created_at, next_at, last_error)
    SELECT concat_ws('-', 'events', c.id, m.first, m.last), said.id, c.id, c.name, 3,
           CASE WHEN m.newest < %(lost_before)s THEN 'failed' ELSE 'pending' END, least(m.newest, %(now)s), %(now)s,
           CASE WHEN m.newest < %(lost_before)s THEN %(lost)s END
    FROM said
    CROSS JOIN moved m
    JOIN channels c ON c.id = %(channel_id)s
    RETURNING key, state
)
SELECT w.key, m.events, w.state = 'failed' AS is_lost
FROM written w
CROSS JOIN moved m

-- name: events
SELECT seq, time, type, payload::text AS data
FROM events
WHERE seq = ANY (%(seqs)s::bigint[])
ORDER BY seq
