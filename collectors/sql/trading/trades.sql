-- unit: trading_pnl_24h = usd
-- unit: trading_volume_24h = usd
-- Trades of the last 24 hours. A trade that opens a position has no profit or loss yet: its pnl is NULL, and
-- the success rate ignores it. A trade that breaks even is not a success. Without any closed position the
-- success rate is NULL.
SELECT count(*)                                AS trading_trades_24h,
       coalesce(sum(quantity * price), 0)      AS trading_volume_24h,
       coalesce(sum(pnl), 0)                   AS trading_pnl_24h,
       100.0 * count(*) FILTER (WHERE pnl > 0)
         / nullif(count(pnl), 0)               AS trading_success_percent
FROM   trades
WHERE  executed_at > now() - interval '24 hours' AND executed_at <= now()
