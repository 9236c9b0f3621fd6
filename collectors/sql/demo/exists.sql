-- Whether this is the schema that the demo made, and no one else's of that name.
SELECT EXISTS (
         SELECT
         FROM   pg_namespace
         WHERE  nspname = 'trading_demo' AND obj_description(oid, 'pg_namespace') LIKE 'Simulated%'
       )
