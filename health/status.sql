-- part: seen_now
-- The newest component_up of each component. If it is too far in the future, a wrong clock wrote it: then the newest
-- sample up to now is read instead.
SELECT s.component, s.category,
       CASE WHEN is_ahead THEN coalesce(past.time, '-infinity') ELSE st.last_time END AS last_time,
       CASE WHEN is_ahead THEN past.value ELSE st.last_value END AS last_value,
       CASE WHEN NOT is_ahead THEN st.reason WHEN past.value = 0 THEN 'it did not answer' ELSE '' END AS reason
FROM series s
JOIN series_state st ON st.series_id = s.id
CROSS JOIN LATERAL (SELECT st.last_time > %(at)s::timestamptz + %(future)s::interval AS is_ahead) clock
LEFT JOIN LATERAL (
    SELECT m.time, m.value
    FROM system_metrics m
    WHERE is_ahead AND m.series_id = s.id
      AND m.time > %(at)s::timestamptz - %(stale)s::interval AND m.time <= %(at)s::timestamptz
    ORDER BY m.time DESC
    LIMIT 1
) past ON true
WHERE s.metric = 'component_up' AND s.labels = '{}'

-- part: seen_then
-- The newest component_up of each component at a past slot. Its reason is unknown, because only the newest is stored.
SELECT s.component, s.category, newest.time AS last_time, newest.value AS last_value,
       CASE WHEN newest.value = 0 THEN 'it did not answer' ELSE '' END AS reason
FROM series s
CROSS JOIN LATERAL (
    SELECT m.time, m.value
    FROM system_metrics m
    WHERE m.series_id = s.id AND m.time > %(at)s::timestamptz - %(stale)s::interval AND m.time <= %(at)s::timestamptz
    ORDER BY m.time DESC
    LIMIT 1
) newest
WHERE s.metric = 'component_up' AND s.labels = '{}'

-- part: verdict
-- The status of each component, from `component_up` and the newest minute of each metric with thresholds:
-- null if the sample is missing or stale, down if it is 0, else by the most severe breached threshold.
known AS (
    SELECT * FROM unnest(%(components)s::text[], %(categories)s::text[], %(reasons)s::text[])
                  AS k (component, category, reason)
), seen AS (
    {seen}
), up AS (
    SELECT component, coalesce(seen.category, known.category) AS category, seen.last_time, seen.last_value,
           seen.reason, coalesce(known.reason, 'not observed') AS unobserved
    FROM seen
    FULL JOIN known USING (component)
), observed AS (
    SELECT s.component, s.metric, s.labels, s.unit, t.value AS levels, newest.value
    FROM series s
    JOIN jsonb_each(%(thresholds)s::jsonb) t ON t.key = s.metric
    CROSS JOIN LATERAL (
        SELECT m.sum / m.count AS value
        FROM system_metrics_1m m
        WHERE m.series_id = s.id AND m.bucket > %(at)s::timestamptz - %(stale)s::interval - interval '1 minute'
            AND m.bucket <= %(at)s::timestamptz
        ORDER BY m.bucket DESC
        LIMIT 1
    ) newest
), broken AS (
    SELECT DISTINCT ON (o.component)
           o.component,
           CASE WHEN l.key IN ('critical', 'emergency') THEN 'critical' ELSE 'warning' END AS status,
           breach_message(metric_title(o.metric) || labels_in_brackets(o.labels) || ' at', o.value, o.unit,
                        coalesce(o.levels ->> 'op', '>'), l.value::double precision) AS reason
    FROM observed o
    CROSS JOIN LATERAL jsonb_each_text(o.levels - 'op' - 'info') l
    WHERE CASE WHEN coalesce(o.levels ->> 'op', '>') = '>'
               THEN o.value > l.value::double precision ELSE o.value < l.value::double precision END
    ORDER BY o.component, array_position(alert_levels(), l.key) DESC, o.metric, o.labels
), verdict AS (
    SELECT up.component, up.category,
           CASE WHEN up.last_time IS NULL OR up.last_time < %(at)s::timestamptz - %(stale)s::interval
                THEN NULL
                WHEN up.last_value = 0 THEN 'down'
                ELSE coalesce(broken.status, 'healthy') END AS status,
           CASE WHEN up.last_time IS NULL OR up.last_time < %(at)s::timestamptz - %(stale)s::interval
                THEN up.unobserved
                WHEN up.last_value = 0 THEN up.reason
                ELSE coalesce(broken.reason, up.reason) END AS reason,
           up.last_time IS NOT NULL AS was_seen
    FROM up
    LEFT JOIN broken USING (component)
)

-- name: check
-- Checks every component at one slot: stores the check, the state and the uptime, and returns the states with
-- `changed`. An expected component that was never observed gets a state, but no check.
WITH
{verdict}, planned AS MATERIALIZED (
    SELECT matcher
    FROM maintenance_spans(%(at)s::timestamptz, %(at)s::timestamptz + interval '1 microsecond')
    WHERE matcher - 'component' = '{}'
), checked AS (
    INSERT INTO component_checks (time, component, status, stands_for_s, reason)
    SELECT %(at)s::timestamptz, component, status, CASE WHEN status IS NULL THEN 0
           ELSE %(interval_s)s::double precision END, reason
    FROM verdict
    WHERE was_seen
    ON CONFLICT DO NOTHING
    RETURNING component, status, stands_for_s
), before AS (
    SELECT component, status, maintenance FROM component_status
), written AS (
    INSERT INTO component_status (component, category, status, since, reason, maintenance, last_check, uptime_24h)
    SELECT v.component, v.category, v.status, %(at)s::timestamptz, v.reason,
           EXISTS (SELECT FROM planned p WHERE coalesce(p.matcher -> 'component' ? v.component, true)),
           %(at)s::timestamptz,
           -- uptime() does not see the check that this statement inserts, so it is added here.
           100 * (u.up_s + CASE WHEN v.status <> 'down' THEN %(interval_s)s::double precision ELSE 0 END)
               / nullif(u.up_s + u.down_s + CASE WHEN v.status IS NULL THEN 0 ELSE %(interval_s)s::double precision END,
                   0)
    FROM verdict v
    CROSS JOIN LATERAL uptime(v.component, %(at)s::timestamptz - interval '24 hours'
        + make_interval(secs => %(interval_s)s::double precision), %(at)s::timestamptz) u
    ORDER BY v.component
    ON CONFLICT (component) DO UPDATE
    SET category = excluded.category,
        status = excluded.status,
        since = CASE WHEN component_status.status IS NOT DISTINCT FROM excluded.status
                     THEN component_status.since ELSE excluded.since END,
        reason = excluded.reason,
        maintenance = excluded.maintenance,
        last_check = excluded.last_check,
        uptime_24h = excluded.uptime_24h
    RETURNING component, category, status, since, reason, maintenance, last_check, uptime_24h
)
SELECT w.*, b.component IS NULL OR b.status IS DISTINCT FROM w.status OR b.maintenance <> w.maintenance AS changed
FROM written w
LEFT JOIN before b USING (component)
ORDER BY w.component

-- name: record_outage
-- Slots in which no check was possible, because the database itself did not answer.
INSERT INTO component_checks (time, component, status, stands_for_s, reason)
SELECT time, 'database', 'down', interval_s, %(reason)s
FROM unnest(%(times)s::timestamptz[], %(intervals_s)s::double precision[]) AS slot (time, interval_s)
ON CONFLICT DO NOTHING

-- name: record_missed
-- The check of a missed slot, from samples of that time which were stored since.
WITH
{verdict}
INSERT INTO component_checks (time, component, status, stands_for_s, reason)
SELECT %(at)s::timestamptz, component, status, CASE WHEN status IS NULL THEN 0
       ELSE %(interval_s)s::double precision END, reason
FROM verdict
WHERE was_seen
ON CONFLICT DO NOTHING

-- name: newest_check
SELECT max(time) FROM component_checks

-- name: forget_status
DELETE FROM component_status WHERE component = %(component)s

-- name: forget_newest
-- Samples stay, but without a row in series_state the component is no longer checked.
DELETE FROM series_state
WHERE series_id IN (SELECT id FROM series WHERE component = %(component)s)

-- name: read
SELECT component, category, status, since, reason, maintenance, last_check, uptime_24h
FROM component_status
ORDER BY component

-- name: read_at
-- The newest check of each component at or before a past time, and when its status began. Maintenance follows the
-- windows as they are defined now. A component that was removed since exists only in its checks and its series.
SELECT c.component, c.category, past.status, past.since, past.reason,
       EXISTS (
           SELECT FROM maintenance_spans(%(at)s::timestamptz, %(at)s::timestamptz + interval '1 microsecond') s
           WHERE s.matcher - 'component' = '{}' AND coalesce(s.matcher -> 'component' ? c.component, true)
       ) AS maintenance,
       past.time AS last_check, u.availability AS uptime_24h
FROM (
    SELECT component, coalesce(
        (SELECT n.category FROM component_status n WHERE n.component = k.component),
        (SELECT s.category FROM series s WHERE s.component = k.component ORDER BY s.metric <> 'component_up' LIMIT 1),
        'system'
    ) AS category
    FROM component_checks k
    WHERE k.time <= %(at)s::timestamptz AND k.time > %(at)s::timestamptz - interval '5 minutes'
    GROUP BY component
) c
CROSS JOIN LATERAL (
    SELECT k.status, k.reason, k.time,
           coalesce((SELECT min(n.time) FROM component_checks n
                     WHERE n.component = c.component AND n.status IS NOT DISTINCT FROM k.status
                       AND n.time <= k.time
                       AND n.time > coalesce((SELECT max(o.time) FROM component_checks o
                                              WHERE o.component = c.component AND o.time <= k.time
                                                AND o.status IS DISTINCT FROM k.status), '-infinity')),
                    k.time) AS since
    FROM component_checks k
    WHERE k.component = c.component AND k.time <= %(at)s::timestamptz AND k.time > %(at)s::timestamptz
        - interval '5 minutes'
    ORDER BY k.time DESC
    LIMIT 1
) past
CROSS JOIN LATERAL uptime(c.component, %(at)s::timestamptz - interval '24 hours', %(at)s::timestamptz) u
ORDER BY c.component
