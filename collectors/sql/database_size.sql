-- every: 60 s
-- Once a minute, because it reads the size of every file, and an old hypertable has thousands of files.
SELECT pg_database_size(current_database()) AS database_size_bytes
