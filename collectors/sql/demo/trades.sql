INSERT INTO trading_demo.trades (user_id, symbol, side, quantity, price, pnl, executed_at)
SELECT user_id, symbol, side, quantity::numeric, price::numeric, pnl::numeric,
       now() - make_interval(secs => age_s)
FROM   unnest(
         %(user_id)s::bigint[], %(symbol)s::text[], %(side)s::text[], %(quantity)s::float8[],
         %(price)s::float8[], %(pnl)s::float8[], %(age_s)s::float8[]
       ) AS given (user_id, symbol, side, quantity, price, pnl, age_s)
