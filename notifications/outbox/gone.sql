-- name: drop_addresses
DELETE FROM contact_addresses WHERE channel_id = %(channel_id)s

-- name: drop_address
-- Deliveries that still wait for the address fail.
WITH dropped AS (
    UPDATE deliveries
    SET state = 'failed', last_error = 'the address no longer exists'
    WHERE channel_id = %(channel_id)s AND address = %(address)s AND state IN ('pending', 'grouped')
)
DELETE FROM contact_addresses WHERE channel_id = %(channel_id)s AND address = %(address)s

-- name: drop_channel
-- Deliveries that still wait for the channel fail.
WITH dropped AS (
    UPDATE deliveries
    SET state = 'failed', last_error = 'the address no longer exists'
    WHERE channel_id = %(channel_id)s AND state IN ('pending', 'grouped')
)
DELETE FROM channels WHERE id = %(channel_id)s

-- name: disable
UPDATE channels SET enabled = false, updated_by = %(actor)s WHERE id = %(channel_id)s
