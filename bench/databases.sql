-- name: create_extension
CREATE EXTENSION timescaledb

-- name: start_workers
SELECT _timescaledb_functions.start_background_workers()

-- name: stop_workers
SELECT _timescaledb_functions.stop_background_workers()
