-- The positions that are open now.
SELECT count(*) AS trading_positions_active
FROM   positions
WHERE  closed_at IS NULL
