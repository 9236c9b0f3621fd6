-- every: 60 s
-- Asks the file system about every file of the database, and an old hypertable has thousands.
SELECT pg_database_size(current_database()) AS database_size_bytes
