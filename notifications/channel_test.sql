-- name: record
WITH inserted AS (
    INSERT INTO notifications (kind, event, time, payload) VALUES ('test', 'test', %(now)s, '{}') RETURNING id
)
INSERT INTO deliveries (key, notification_id, channel_id, channel, priority, state, attempts, created_at, attempted_at,
                        next_at, sent_at, duration_s, status, answer, last_error)
SELECT %(key)s, inserted.id, %(channel_id)s, %(channel)s, 0, %(state)s, 1, %(now)s, %(now)s, %(now)s, %(sent_at)s,
       %(duration_s)s, %(status)s, %(answer)s, %(error)s
FROM inserted
