-- Whether a schema of this name exists that the demo did not create.
SELECT EXISTS (
         SELECT
         FROM   pg_namespace
         WHERE  nspname = 'trading_demo'
                AND coalesce(obj_description(oid, 'pg_namespace'), '') NOT LIKE 'Simulated%'
       )
