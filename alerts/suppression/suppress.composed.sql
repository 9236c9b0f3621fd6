-- The statements of alerts/suppression/suppress.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i alerts/suppression/suppress.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :actor, the service binds as a parameter.

\set actor '''ana'''
\set at 'date_trunc(''minute'', now())'
\set at_most 'NULL'
\set category 'NULL'
\set dependencies '''{"shop": ["database"]}'''
\set end 'date_trunc(''minute'', now())'
\set metric '''server_cpu_percent'''
\set rule '''cpu'''
\set start '(date_trunc(''minute'', now()) - interval ''1 hour'')'
\set transitions '''[]'''

BEGIN;

-- APPLY_SUPPRESSION
-- Compares `suppressed_by` of each open alert with the causes that match it at one instant, and writes the difference.
-- If there is no cause, only suppressed alerts are read.
WITH cause AS MATERIALIZED (
    SELECT 'silence:' || id AS name, matcher, created_by AS author, comment
    FROM alert_silences
    WHERE ends_at > :at::timestamptz AND starts_at <= :at::timestamptz
    UNION ALL
    SELECT 'maintenance:' || w.name, w.matcher, w.updated_by, w.comment
    FROM maintenance_windows w
    WHERE w.id IN (SELECT window_id FROM maintenance_spans(:at::timestamptz, :at::timestamptz
        + interval '1 microsecond'))
    UNION ALL
    SELECT 'dependency:' || down.component, jsonb_build_object('component', jsonb_agg(d.component)), 'auto',
           'it is down'
    FROM jsonb_each(:dependencies::jsonb) d (component, needed)
    JOIN (
        SELECT DISTINCT a.component
        FROM system_alerts a
        JOIN alert_rules r ON r.name = a.rule
        WHERE a.state <> 'resolved' AND a.labels = '{}' AND r.metric = 'component_up'
    ) down ON d.needed ? down.component
    WHERE :dependencies::jsonb <> '{}'
    GROUP BY down.component
    UNION ALL
    -- Values of a silent host are old. Only the alert that says so stays.
    SELECT 'silent:' || h.name,
           CASE h.kind WHEN 'host' THEN jsonb_build_object('labels', jsonb_build_object('host', h.name))
                       ELSE jsonb_build_object('component', h.name, 'without', 'host') END
           || jsonb_build_object('not_of', (
               SELECT coalesce(jsonb_agg(r.name), '[]') FROM alert_rules r WHERE r.metric = 'host_silent_seconds'
           )),
           'auto', 'it has sent nothing since ' || to_char(h.silent_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
           || ' UTC'
    FROM hosts h
    WHERE h.silent_since IS NOT NULL
), found AS MATERIALIZED (
    SELECT a.id, a.level, a.value, a.threshold, a.suppressed_by AS was,
           ARRAY(
               SELECT c.name
               FROM cause c
               WHERE coalesce(c.matcher -> 'rule' ? a.rule, true)
                   AND coalesce(c.matcher -> 'component' ? a.component, true)
                   AND coalesce(c.matcher -> 'category' ? a.category, true)
                   AND coalesce(c.matcher -> 'level' ? a.level, true)
                   AND a.labels @> coalesce(c.matcher -> 'labels', '{}')
                   AND NOT coalesce(a.labels ? (c.matcher ->> 'without'), false)
                   AND NOT coalesce(c.matcher -> 'not_of' ? a.rule, false)
               ORDER BY c.name
           ) AS suppressed_by
    FROM system_alerts a
    WHERE a.state <> 'resolved' AND (a.suppressed_by <> '{}' OR EXISTS (SELECT FROM cause))
), moving AS MATERIALIZED (
    SELECT * FROM found WHERE suppressed_by <> was ORDER BY id LIMIT :at_most::integer
), written AS (
    UPDATE system_alerts a SET suppressed_by = m.suppressed_by
    FROM moving m
    WHERE a.id = m.id AND a.id = ANY (ARRAY(SELECT id FROM moving))
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT m.id, :at::timestamptz, s.type, m.level, m.value, m.threshold, :actor, s.comment
    FROM moving m
    CROSS JOIN LATERAL (
        SELECT 'unsuppressed' AS type, old.name AS comment
        FROM unnest(m.was) old (name)
        WHERE old.name <> ALL (m.suppressed_by)
        UNION ALL
        SELECT 'suppressed', c.name || ' by ' || c.author || ': ' || c.comment
        FROM cause c
        WHERE c.name = ANY (m.suppressed_by) AND c.name <> ALL (m.was)
    ) s
    ORDER BY m.id, s.type DESC, s.comment
)
SELECT id AS alert_id, CASE WHEN suppressed_by = '{}' THEN 'unsuppressed' ELSE 'suppressed' END AS transition
FROM moving
ORDER BY id;

-- COUNT_SUPPRESSED
-- The number of transitions of a rule that silences and maintenance windows would have suppressed. A resolution is
-- checked one microsecond earlier: if the alert was suppressed up to its end, its resolution notifies nobody either.
WITH cause AS MATERIALIZED (
    SELECT matcher, starts_at, ends_at
    FROM alert_silences
    WHERE starts_at <= :end AND ends_at >= :start
    UNION ALL
    SELECT matcher, starts_at, ends_at
    FROM maintenance_spans(:start::timestamptz - interval '1 minute', :end::timestamptz + interval '1 minute')
), transitions AS (
    SELECT :rule::text AS rule, t.component, t.labels, t.level,
           coalesce(:category::text, s.category, 'system') AS category,
           CASE t.type WHEN 'resolved' THEN t.time - interval '1 microsecond' ELSE t.time END AS time
    FROM jsonb_to_recordset(:transitions::jsonb) AS t (time timestamptz, type text, level text, component text,
        labels jsonb)
    LEFT JOIN series s ON s.metric = :metric::text AND s.component = t.component AND s.labels = t.labels
)
SELECT count(*)
FROM transitions a
WHERE EXISTS (
    SELECT FROM cause c
    WHERE c.starts_at <= a.time AND c.ends_at > a.time AND coalesce(c.matcher -> 'rule' ? a.rule, true)
        AND coalesce(c.matcher -> 'component' ? a.component, true)
        AND coalesce(c.matcher -> 'category' ? a.category, true)
        AND coalesce(c.matcher -> 'level' ? a.level, true)
        AND a.labels @> coalesce(c.matcher -> 'labels', '{}')
        AND NOT coalesce(a.labels ? (c.matcher ->> 'without'), false)
        AND NOT coalesce(c.matcher -> 'not_of' ? a.rule, false)
);

ROLLBACK;
