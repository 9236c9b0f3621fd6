-- Whether there is a schema of that name that the demo did not make.
SELECT EXISTS (
         SELECT
         FROM   pg_namespace
         WHERE  nspname = 'trading_demo'
                AND coalesce(obj_description(oid, 'pg_namespace'), '') NOT LIKE 'Simulated%'
       )
