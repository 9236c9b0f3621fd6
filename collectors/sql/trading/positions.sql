-- What is held at this moment.
SELECT count(*) AS trading_positions_active
FROM   positions
WHERE  closed_at IS NULL
