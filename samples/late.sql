-- name: record
INSERT INTO late_samples (series_id, day, start_time, end_time, arrived_at, samples)
SELECT series_id, (start_time AT TIME ZONE 'UTC')::date, start_time, end_time, now(), samples
FROM unnest(
    %(series_ids)b::integer[], %(start_times)b::timestamptz[], %(end_times)b::timestamptz[], %(samples)b::bigint[]
) AS given (series_id, start_time, end_time, samples)
ON CONFLICT (series_id, day) DO UPDATE
SET start_time = least(late_samples.start_time, excluded.start_time),
    end_time = greatest(late_samples.end_time, excluded.end_time),
    arrived_at = greatest(late_samples.arrived_at, excluded.arrived_at),
    samples = late_samples.samples + excluded.samples
