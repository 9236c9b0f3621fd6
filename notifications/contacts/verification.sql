-- name: addresses
-- The addresses of one contact, locked until the transaction ends, so that tries are counted one after the other.
SELECT a.contact_id, c.name AS person, c.tz, a.channel_id, h.name AS channel, h.enabled, a.address, a.verified_at,
       a.code_id,
       a.code_sent_at, a.code_tries
FROM contacts c
JOIN contact_addresses a ON a.contact_id = c.id
JOIN channels h ON h.id = a.channel_id
WHERE c.name = %(name)s
ORDER BY a.position
FOR UPDATE OF a

-- name: keep_code
UPDATE contact_addresses
SET code_id = %(code_id)s, code_sent_at = %(now)s, code_tries = 0
WHERE contact_id = %(contact_id)s AND channel_id = %(channel_id)s AND address = %(address)s

-- name: confirm
UPDATE contact_addresses
SET verified_at = %(now)s, code_id = NULL
WHERE contact_id = %(contact_id)s AND channel_id = %(channel_id)s AND address = %(address)s

-- name: count_try
-- A wrong code counts for all addresses with a code, because it may have been meant for any of them.
UPDATE contact_addresses SET code_tries = code_tries + 1 WHERE contact_id = %(contact_id)s AND code_id IS NOT NULL
