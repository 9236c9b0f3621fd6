-- What analysts read: stable names, with a comment on every column. Made anew when this text changes.

CREATE OR REPLACE VIEW metrics AS
SELECT m.time, s.metric, s.component, s.category, s.labels, s.unit, s.kind, m.value, m.series_id
FROM system_metrics m
JOIN series s ON s.id = m.series_id;

CREATE OR REPLACE VIEW metrics_1m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id
FROM system_metrics_1m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_5m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id
FROM system_metrics_5m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_1h AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id
FROM system_metrics_1h r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_1d AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id
FROM system_metrics_1d r
JOIN series s ON s.id = r.series_id;

-- The name of a series as people write it: metric{label="value"}.
CREATE OR REPLACE FUNCTION series_name(metric text, labels jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT metric || coalesce('{' || string_agg(key || '="' || value || '"', ',' ORDER BY key) || '}', '')
    FROM jsonb_each_text(labels)
$$;
COMMENT ON FUNCTION series_name(text, jsonb) IS 'Name of a series as people write it: metric{label="value"}.';

CREATE OR REPLACE VIEW metrics_json AS
SELECT m.time, s.component, s.category,
       jsonb_object_agg(series_name(s.metric, s.labels), m.value) AS metrics
FROM system_metrics m
JOIN series s ON s.id = m.series_id
GROUP BY m.time, s.component, s.category;

CREATE OR REPLACE VIEW uptime_daily AS
SELECT day, component, up_s, down_s, blind_s,
       CASE WHEN up_s + down_s > 0 THEN 100 * up_s / (up_s + down_s) END AS availability
FROM (
    SELECT time_bucket(interval '1 day', bucket) AS day,
           component,
           coalesce(sum(healthy_s), 0) + coalesce(sum(warning_s), 0) + coalesce(sum(critical_s), 0) AS up_s,
           coalesce(sum(down_s), 0) AS down_s,
           greatest(0, least(86400, extract(epoch FROM now() - time_bucket(interval '1 day', bucket)))
                       - coalesce(sum(healthy_s), 0) - coalesce(sum(warning_s), 0)
                       - coalesce(sum(critical_s), 0) - coalesce(sum(down_s), 0)) AS blind_s
    FROM component_uptime_1h
    GROUP BY 1, 2
) AS days;

CREATE OR REPLACE VIEW alerts AS
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by
FROM system_alerts;

DO $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('metrics', 'Samples with their names.'),
        ('metrics_1m', 'Roll-up by minute.'),
        ('metrics_5m', 'Roll-up by five minutes.'),
        ('metrics_1h', 'Roll-up by hour.'),
        ('metrics_1d', 'Roll-up by UTC day.'),
        ('metrics_json', 'One document per component and time.'),
        ('uptime_daily', 'Availability of each component by UTC day.'),
        ('alerts', 'Alerts, open and past.')
    ) AS described(name, text) LOOP
        EXECUTE format('COMMENT ON VIEW %I IS %L', item.name, item.text);
    END LOOP;
    -- A column of a view means what it means everywhere else in the schema.
    FOR item IN
        SELECT c.relname AS view, a.attname AS name, described.text
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN (VALUES
            ('time', 'When it was measured; of a roll-up, the start of the bucket.'),
            ('metric', 'Name of the metric: subject, what, unit.'),
            ('component', 'Component it belongs to.'),
            ('category', 'system, trading, database, external or security.'),
            ('labels', 'Labels that tell series of one metric apart.'),
            ('unit', 'Unit of the values.'),
            ('kind', 'gauge, counter or distribution.'),
            ('value', 'The value.'),
            ('avg', 'Mean of the samples: sum / count.'),
            ('min', 'Smallest value.'),
            ('max', 'Largest value.'),
            ('sum', 'Sum of the values.'),
            ('count', 'Number of samples.'),
            ('first', 'Oldest value.'),
            ('last', 'Newest value.'),
            ('series_id', 'Number of the series.'),
            ('metrics', 'Value by name of the series.'),
            ('day', 'Start of the day in UTC.'),
            ('up_s', 'Seconds observed and not down.'),
            ('down_s', 'Seconds down.'),
            ('blind_s', 'Seconds nobody looked.'),
            ('availability', 'up_s / (up_s + down_s) in percent; null: never observed.'),
            ('id', 'Number of the alert.'),
            ('rule', 'Name of the rule that raised it.'),
            ('level', 'info, warning, critical or emergency.'),
            ('title', 'What is wrong, in a few words.'),
            ('message', 'What was measured, and against which limit.'),
            ('threshold', 'Limit of the level.'),
            ('state', 'firing, acknowledged or resolved.'),
            ('opened_at', 'When it was raised.'),
            ('acknowledged_at', 'When someone took it on.'),
            ('acknowledged_by', 'Who took it on.'),
            ('resolved_at', 'When it ended.'),
            ('resolved_by', 'Who ended it: a key or user, or auto.')
        ) AS described(name, text) ON described.name = a.attname
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relname IN ('metrics', 'metrics_1m', 'metrics_5m', 'metrics_1h', 'metrics_1d',
                            'metrics_json', 'uptime_daily', 'alerts')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', item.view, item.name, item.text);
    END LOOP;
END
$$;

COMMENT ON TABLE schema_migrations IS 'The migrations that were applied; version 0 stands for the views and functions.';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the file.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the file.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of its text: an applied file must not change.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When.';
