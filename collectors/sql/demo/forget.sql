-- Deletes rows older than any figure reads, so that a demo that keeps running does not grow.
WITH old_positions AS (
  DELETE FROM trading_demo.positions WHERE closed_at < now() - interval '25 hours'
)
DELETE FROM trading_demo.trades WHERE executed_at < now() - interval '25 hours'
