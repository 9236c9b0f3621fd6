-- every: 60 s
-- unit: usd
-- The twenty symbols with the largest volume of the last 24 hours.
SELECT symbol                    AS label_symbol,
       sum(quantity * price)     AS trading_symbol_volume_24h,
       coalesce(sum(pnl), 0)     AS trading_symbol_pnl_24h
FROM   trades
WHERE  executed_at > now() - interval '24 hours' AND executed_at <= now()
GROUP  BY symbol
ORDER  BY sum(quantity * price) DESC, symbol
LIMIT  20
