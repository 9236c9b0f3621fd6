-- name: of_rules
-- Late samples within a window of some rules in a range.
SELECT s.metric, s.component, s.labels, l.start_time AS start, l.end_time AS "end", l.arrived_at, l.samples,
       count(*) OVER () AS total
FROM late_samples l
JOIN series s ON s.id = l.series_id
WHERE l.start_time < %(end)s::timestamptz
  AND EXISTS (
      SELECT
      FROM jsonb_populate_recordset(NULL::alert_rules, %(rules)s::jsonb) r
      WHERE (s.metric IN (r.metric, r.over) AND (r.component IS NULL OR s.component = r.component)
          AND s.labels @> r.labels
             OR r.kind = 'sql' AND s.metric = 'sql_rule_rows' AND s.labels ->> 'metric' = r.metric)
        AND l.end_time >= %(start)s::timestamptz
                          - make_interval(secs => greatest(r.window_s + r.offset_s, r.short_window_s))
  )
ORDER BY l.start_time, l.series_id
LIMIT %(limit)s

-- name: drop_old
-- Deletes records of times for which neither the 1m tier nor samples are kept: no preview can evaluate them.
DELETE FROM late_samples
WHERE end_time < (SELECT min(dropped_to) FROM tiers WHERE name IN ('raw', '1m'))

-- name: gaps
-- Evaluation gaps that overlap a range.
SELECT start_time AS start, end_time AS "end", count(*) OVER () AS total
FROM evaluation_gaps
WHERE start_time <= %(end)s AND end_time > %(start)s
ORDER BY start_time
LIMIT %(limit)s

-- name: drop_old_gaps
DELETE FROM evaluation_gaps
WHERE end_time < (SELECT min(dropped_to) FROM tiers WHERE name IN ('raw', '1m'))
