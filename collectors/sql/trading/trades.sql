-- unit: trading_pnl_24h = usd
-- unit: trading_volume_24h = usd
-- Of the last 24 hours. A trade that only opens a position has realised nothing: its pnl is NULL, and it
-- is neither won nor lost. One that breaks even is not won. Where nothing was closed, there is no share.
SELECT count(*)                                AS trading_trades_24h,
       coalesce(sum(quantity * price), 0)      AS trading_volume_24h,
       coalesce(sum(pnl), 0)                   AS trading_pnl_24h,
       100.0 * count(*) FILTER (WHERE pnl > 0)
         / nullif(count(pnl), 0)               AS trading_success_percent
FROM   trades
WHERE  executed_at > now() - interval '24 hours' AND executed_at <= now()
