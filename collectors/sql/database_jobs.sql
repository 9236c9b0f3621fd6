-- Jobs of TimescaleDB whose last run failed; jobs that never ran are not counted.
SELECT count(*) AS database_jobs_failed
FROM   timescaledb_information.job_stats
WHERE  last_run_status = 'Failed'
