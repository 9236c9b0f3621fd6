-- Whether the schema exists and was created by the demo. Its comment tells.
SELECT EXISTS (
         SELECT
         FROM   pg_namespace
         WHERE  nspname = 'trading_demo' AND obj_description(oid, 'pg_namespace') LIKE 'Simulated%'
       )
