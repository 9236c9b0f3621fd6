-- name: append
-- Appends events with consecutive numbers. The update locks the row of the counter until the transaction ends, so that
-- numbers follow the order of commits.
WITH given AS (
    SELECT ordinality, event ->> 0 AS type, event -> 1 AS payload
    FROM jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS e (event, ordinality)
), counter AS (
    UPDATE event_counter SET seq = seq + (SELECT count(*) FROM given) RETURNING seq
), appended AS (
    INSERT INTO events (seq, time, type, payload)
    SELECT counter.seq - (SELECT count(*) FROM given) + given.ordinality, %(time)s, given.type, given.payload
    FROM given, counter
)
SELECT seq FROM counter

-- name: newest
SELECT seq FROM event_counter

-- name: oldest
SELECT min(seq) FROM events

-- name: after
SELECT seq, time, type, payload
FROM events
WHERE seq > %(seq)s
ORDER BY seq
LIMIT %(limit)s

-- name: drop_old
DELETE FROM events WHERE time < %(before)s
