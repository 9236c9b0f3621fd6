-- Inserts new positions, and sets closed_at of known ones. Ages are seconds before now.
INSERT INTO trading_demo.positions (id, user_id, symbol, side, quantity, entry_price, opened_at, closed_at)
SELECT id, user_id, symbol, side, quantity::numeric, entry_price::numeric,
       now() - make_interval(secs => opened_age_s), now() - make_interval(secs => closed_age_s)
FROM   unnest(
         %(id)s::bigint[], %(user_id)s::bigint[], %(symbol)s::text[], %(side)s::text[],
         %(quantity)s::float8[], %(entry_price)s::float8[],
         %(opened_age_s)s::float8[], %(closed_age_s)s::float8[]
       ) AS given (id, user_id, symbol, side, quantity, entry_price, opened_age_s, closed_age_s)
ON     CONFLICT (id) DO UPDATE SET closed_at = excluded.closed_at
