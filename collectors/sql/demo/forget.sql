-- What no figure looks at any more, so that a demo that is left running does not grow.
WITH old_positions AS (
  DELETE FROM trading_demo.positions WHERE closed_at < now() - interval '25 hours'
)
DELETE FROM trading_demo.trades WHERE executed_at < now() - interval '25 hours'
