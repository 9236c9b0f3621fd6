"""How to get a database and run SQL on it: engine, pool, queries, migrations, backups."""
