-- The documented views for analysts: stable names, with a comment on every column. They are created again when this
-- file changes.

CREATE OR REPLACE VIEW metrics AS
SELECT m.time, s.metric, s.component, s.category, s.labels, s.unit, s.kind, m.value, m.series_id
FROM system_metrics m
JOIN series s ON s.id = m.series_id;

CREATE OR REPLACE VIEW metrics_1m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id,
       stddev_of(r.m2, r.count) AS stddev
FROM system_metrics_1m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_5m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id,
       stddev_of(r.m2, r.count) AS stddev
FROM system_metrics_5m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_1h AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id,
       stddev_of(r.m2, r.count) AS stddev
FROM system_metrics_1h r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW metrics_1d AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit, s.kind,
       r.sum / r.count AS avg, r.min, r.max, r.sum, r.count, r.first, r.last, r.series_id,
       stddev_of(r.m2, r.count) AS stddev
FROM system_metrics_1d r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW counters_5m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.first_time, r.last_time, r.first, r.last, r.resets, r.last - r.first + r.resets AS increase, r.series_id
FROM system_counters_5m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW counters_1h AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.first_time, r.last_time, r.first, r.last, r.resets, r.last - r.first + r.resets AS increase, r.series_id
FROM system_counters_1h r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW counters_1d AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.first_time, r.last_time, r.first, r.last, r.resets, r.last - r.first + r.resets AS increase, r.series_id
FROM system_counters_1d r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW distributions_5m AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.log_bucket, log_bucket_value(r.log_bucket) AS value, r.count, r.series_id
FROM system_distributions_5m r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW distributions_1h AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.log_bucket, log_bucket_value(r.log_bucket) AS value, r.count, r.series_id
FROM system_distributions_1h r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW distributions_1d AS
SELECT r.bucket AS time, s.metric, s.component, s.category, s.labels, s.unit,
       r.log_bucket, log_bucket_value(r.log_bucket) AS value, r.count, r.series_id
FROM system_distributions_1d r
JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE VIEW catalogue AS
SELECT s.metric, s.component, s.category, s.labels, s.unit, s.kind, s.resolution,
       t.first_time, t.last_time, t.last_value, s.id AS series_id
FROM series s
LEFT JOIN series_state t ON t.series_id = s.id;

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

CREATE OR REPLACE VIEW uptime_hourly AS
SELECT bucket AS hour, component,
       coalesce(healthy_s, 0) AS healthy_s, coalesce(warning_s, 0) AS warning_s,
       coalesce(critical_s, 0) AS critical_s, coalesce(down_s, 0) AS down_s
FROM component_uptime_1h;

CREATE OR REPLACE VIEW checks AS
SELECT time, component, status, stands_for_s, reason
FROM component_checks;

CREATE OR REPLACE VIEW components AS
SELECT component, category, status, since, reason, maintenance, last_check, uptime_24h
FROM component_status;

CREATE OR REPLACE VIEW hosts AS
SELECT name, kind, component, last_seen, usual_interval_s, silent_since
FROM host_state
WHERE removed_at IS NULL;

CREATE OR REPLACE VIEW alerts AS
SELECT id, rule, level, category, component, labels, title, message, value, threshold, state,
       opened_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, suppressed_by, is_flapping
FROM system_alerts;

CREATE OR REPLACE VIEW alert_events AS
SELECT id, alert_id, time, type, level, value, threshold, actor, comment
FROM system_alert_events;

-- An address as it may be shown: enough to know it, not enough to use it. The preview of routes masks in the same way.
CREATE OR REPLACE FUNCTION masked_address(address text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
               WHEN address = '' THEN ''
               WHEN address LIKE '{%' THEN '…'
               WHEN address LIKE '_%@%' THEN left(address, 1) || '…@' || substring(address FROM '[^@]*$')
               WHEN length(address) < 5 THEN '…'
               ELSE left(address, 2) || '…' || right(address, 2)
           END
$$;
COMMENT ON FUNCTION masked_address(text) IS 'An address with its middle left out: a…@example.org, +5…89.';

-- The calls of the watchdog are no messages.
CREATE OR REPLACE VIEW delivery_log AS
SELECT d.id, d.key, n.kind, n.event, n.alert_id, d.channel, masked_address(d.address) AS address, d.person, d.step,
       d.state, d.attempts, d.created_at, d.attempted_at, d.next_at, d.sent_at, d.duration_s, d.status, d.last_error,
       d.group_id
FROM deliveries d
JOIN notifications n ON n.id = d.notification_id
WHERE n.kind <> 'canary';

DO $$
DECLARE
    item record;
BEGIN
    -- A column name has one meaning in all views. An exception is listed with its view's name.
    FOR item IN
        SELECT DISTINCT ON (c.oid, a.attnum) c.oid::regclass AS relation, c.relkind AS kind, view.text AS whole,
               a.attname AS name, given.text
        FROM (VALUES
            ('metrics', 'Samples with their names.'),
            ('metrics_1m', 'Roll-up by minute.'),
            ('metrics_5m', 'Roll-up by five minutes.'),
            ('metrics_1h', 'Roll-up by hour.'),
            ('metrics_1d', 'Roll-up by UTC day.'),
            ('metrics_json', 'One document per component and time.'),
            ('catalogue', 'Every series, with its newest value.'),
            ('counters_5m', 'Increase of counters by five minutes.'),
            ('counters_1h', 'Increase of counters by hour.'),
            ('counters_1d', 'Increase of counters by UTC day.'),
            ('distributions_5m', 'Values of distributions by five minutes, counted in buckets whose bounds grow by 2 percent.'),
            ('distributions_1h', 'Values of distributions by hour, counted in buckets whose bounds grow by 2 percent.'),
            ('distributions_1d', 'Values of distributions by UTC day, counted in buckets whose bounds grow by 2 percent.'),
            ('components', 'Present state of each component.'),
            ('checks', 'Each check of each component.'),
            ('uptime_hourly', 'Seconds of each component in each state, by hour.'),
            ('uptime_daily', 'Availability of each component by UTC day.'),
            ('hosts', 'What sends samples, and when it was last seen.'),
            ('alerts', 'Alerts, open and past.'),
            ('alert_events', 'Each transition of each alert.'),
            ('delivery_log', 'Each message to one address: sent, waiting or failed.'),
            ('history_row', 'A bucket of history().'),
            ('rate_row', 'A bucket of rate().'),
            ('uptime_row', 'The result of uptime().'),
            ('percentile_row', 'A percentile in a bucket of percentiles().')
        ) AS view (name, text)
        JOIN pg_class c ON c.oid = to_regclass(view.name)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN (VALUES
            ('time', 'Time of the measurement; in a roll-up, the start of the bucket.'),
            ('metric', 'Name of the metric: subject, quantity, unit.'),
            ('component', 'Component of the series.'),
            ('category', 'system, trading, database, external or security.'),
            ('labels', 'Labels that distinguish the series of a metric.'),
            ('unit', 'Unit of the values.'),
            ('kind', 'gauge, counter or distribution.'),
            ('resolution', 'Power of two to which values are rounded before they are stored; null: not rounded.'),
            ('value', 'The value.'),
            ('avg', 'Mean of the samples: sum / count.'),
            ('min', 'Smallest value.'),
            ('max', 'Largest value.'),
            ('sum', 'Sum of the values.'),
            ('count', 'Number of samples.'),
            ('first', 'Oldest value.'),
            ('last', 'Newest value.'),
            ('stddev', 'Population standard deviation of samples; null: the roll-up is older than this column.'),
            ('series_id', 'Number of the series.'),
            ('first_time', 'Time of the oldest value.'),
            ('last_time', 'Time of the newest value.'),
            ('last_value', 'The newest value.'),
            ('resets', 'Sum of the values before each restart of the counter.'),
            ('increase', 'Increase of the counter, including restarts.'),
            ('counters_5m.increase', 'Increase from the first value to the last, including restarts; rate() adds the increase between buckets.'),
            ('counters_1h.increase', 'Increase from the first value to the last, including restarts; rate() adds the increase between buckets.'),
            ('counters_1d.increase', 'Increase from the first value to the last, including restarts; rate() adds the increase between buckets.'),
            ('rate', 'Increase per second; null: there is only one value.'),
            ('log_bucket', 'Number of the bucket, in the order of the values; percentile() reads it.'),
            ('distributions_5m.value', 'Representative value of the bucket: within 1 percent of each value in it.'),
            ('distributions_1h.value', 'Representative value of the bucket: within 1 percent of each value in it.'),
            ('distributions_1d.value', 'Representative value of the bucket: within 1 percent of each value in it.'),
            ('distributions_5m.count', 'Number of values in the bucket.'),
            ('distributions_1h.count', 'Number of values in the bucket.'),
            ('distributions_1d.count', 'Number of values in the bucket.'),
            ('quantile', 'From 0 to 1: 0.95 is the 95th percentile.'),
            ('metrics', 'Value by name of the series.'),
            ('hour', 'Start of the hour.'),
            ('day', 'Start of the day in UTC.'),
            ('healthy_s', 'Seconds healthy.'),
            ('warning_s', 'Seconds in warning.'),
            ('critical_s', 'Seconds critical.'),
            ('up_s', 'Seconds observed and not down.'),
            ('down_s', 'Seconds down.'),
            ('blind_s', 'Seconds without a check.'),
            ('availability', 'up_s / (up_s + down_s) in percent; null: never observed.'),
            ('status', 'healthy, warning, critical or down; null: not observed.'),
            ('since', 'Time of the last change of status.'),
            ('reason', 'Why it is not healthy.'),
            ('maintenance', 'Whether a maintenance window is active.'),
            ('last_check', 'Time of the newest check.'),
            ('uptime_24h', 'Percentage of the observed time of the last 24 h in which it was not down.'),
            ('stands_for_s', 'Seconds from time on that the check covers.'),
            ('name', 'Value of the label host, or the component that sends without it.'),
            ('hosts.kind', 'host or component.'),
            ('hosts.component', 'The component of its first sample.'),
            ('last_seen', 'Time of the newest live sample.'),
            ('usual_interval_s', 'Usual seconds between two live samples; null: not known yet.'),
            ('silent_since', 'Its last_seen if it stopped sending; null: it sends.'),
            ('id', 'Number of the alert.'),
            ('rule', 'Name of the rule that raised it.'),
            ('level', 'info, warning, critical or emergency.'),
            ('title', 'What is wrong, in a few words.'),
            ('message', 'Measured value and limit.'),
            ('threshold', 'Limit of the level.'),
            ('state', 'firing, acknowledged or resolved.'),
            ('opened_at', 'When it was raised.'),
            ('acknowledged_at', 'When it was acknowledged.'),
            ('acknowledged_by', 'Who acknowledged it.'),
            ('resolved_at', 'When it ended.'),
            ('resolved_by', 'Who ended it: a key or user, or auto.'),
            ('suppressed_by', 'The cause that suppresses its notifications, now or at its end: silence:3, maintenance:backup, dependency:database.'),
            ('is_flapping', 'Whether it opened because its rule is flapping.'),
            ('alert_events.id', 'Order of the transitions.'),
            ('alert_events.time', 'When it happened.'),
            ('alert_events.level', 'Level after the transition.'),
            ('alert_events.value', 'Value that led to the transition.'),
            ('alert_id', 'The alert.'),
            ('type', 'opened, escalated, lowered, acknowledged, acknowledgement_expired, commented, suppressed, unsuppressed, resolved or reopened.'),
            ('actor', 'Who did it: a key or user, or auto.'),
            ('comment', 'Comment of the person, or the reason of the service.'),
            ('delivery_log.id', 'Number of the delivery.'),
            ('delivery_log.kind', 'alert, incident, maintenance, on_call, account, report, events (of the bus) or test.'),
            ('delivery_log.alert_id', 'The alert, if it is about one.'),
            ('delivery_log.state', 'pending, grouped (another delivery carries it), sent, failed (for good) or skipped (out of date after a pause).'),
            ('delivery_log.status', 'HTTP status or SMTP code of the last answer.'),
            ('key', 'Idempotency key: the same on each try.'),
            ('event', 'opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended or code.'),
            ('channel', 'Name of the channel at that time.'),
            ('address', 'Address within the channel, with its middle left out; empty: the channel''s own.'),
            ('person', 'Contact that it is for; null: nobody in particular.'),
            ('step', 'Step of an escalation policy, from 1; 0 without a policy.'),
            ('attempts', 'Number of tries.'),
            ('created_at', 'When it was decided.'),
            ('attempted_at', 'When it was last tried; null: not yet, or another delivery carried it.'),
            ('next_at', 'Not before this time.'),
            ('sent_at', 'When the provider took it.'),
            ('duration_s', 'Seconds that the last try took.'),
            ('last_error', 'Why the last try failed.'),
            ('group_id', 'The delivery that carries it with others.')
        ) AS given (name, text) ON given.name IN (a.attname, c.relname || '.' || a.attname)
        ORDER BY c.oid, a.attnum, length(given.name) DESC
    LOOP
        EXECUTE format('COMMENT ON %s %s IS %L', CASE item.kind WHEN 'c' THEN 'TYPE' ELSE 'VIEW' END, item.relation,
            item.whole);
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', item.relation, item.name, item.text);
    END LOOP;
END
$$;

CALL grant_reader();

COMMENT ON TABLE schema_migrations IS 'The applied migrations; version 0 stands for the views and functions.';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the file.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the file.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file: an applied file must not change.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';
