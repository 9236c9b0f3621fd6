-- TimescaleDB jobs whose last run failed. Jobs that have never run are not counted.
SELECT count(*) AS database_jobs_failed
FROM   timescaledb_information.job_stats
WHERE  last_run_status = 'Failed'
