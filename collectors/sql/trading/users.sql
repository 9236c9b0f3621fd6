-- Users with an open position, or with a trade in the last 24 hours. UNION counts each user once.
SELECT count(*) AS trading_users_active
FROM   (
         SELECT user_id FROM positions WHERE closed_at IS NULL
         UNION
         SELECT user_id FROM trades WHERE executed_at > now() - interval '24 hours' AND executed_at <= now()
       ) AS active
