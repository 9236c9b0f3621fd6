-- name: drop_addresses
DELETE FROM contact_addresses WHERE channel_id = %(channel_id)s

-- name: drop_address
-- What still waits for it is never sent.
WITH dropped AS (
    UPDATE deliveries
    SET state = 'failed', last_error = 'the address does not exist any more'
    WHERE channel_id = %(channel_id)s AND address = %(address)s AND state IN ('pending', 'grouped')
)
DELETE FROM contact_addresses WHERE channel_id = %(channel_id)s AND address = %(address)s

-- name: drop_channel
-- What still waits for it is never sent.
WITH dropped AS (
    UPDATE deliveries
    SET state = 'failed', last_error = 'the address does not exist any more'
    WHERE channel_id = %(channel_id)s AND state IN ('pending', 'grouped')
)
DELETE FROM channels WHERE id = %(channel_id)s

-- name: disable
UPDATE channels SET enabled = false, updated_by = %(actor)s WHERE id = %(channel_id)s
