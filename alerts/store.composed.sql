-- The statements of alerts/store.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i alerts/store.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :actor, the service binds as a parameter.

\set actor '''ana'''
\set alert_id '(SELECT max(id) FROM system_alerts)'
\set comment ''''''
\set names 'ARRAY[''server'']'
\set time 'now()'

BEGIN;

-- RESOLVE
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = :time, resolved_by = :actor
    WHERE id = :alert_id AND state <> 'resolved'
    RETURNING id
),
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
)
SELECT count(*) FROM resolved;

-- RESOLVE_OF_RULES
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = :time, resolved_by = :actor
    WHERE rule = ANY (:names) AND state <> 'resolved'
    RETURNING id, level, value, threshold
),
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :time, 'resolved', level, value, threshold, :actor, :comment
    FROM resolved
    ORDER BY id
)
SELECT array_agg(id ORDER BY id) FROM resolved;

-- RESOLVE_OF_COMPONENTS
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = :time, resolved_by = :actor
    WHERE component = ANY (:names) AND state <> 'resolved'
    RETURNING id, level, value, threshold
),
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :time, 'resolved', level, value, threshold, :actor, :comment
    FROM resolved
    ORDER BY id
)
SELECT array_agg(id ORDER BY id) FROM resolved;

-- RESOLVE_OF_HOST
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = :time, resolved_by = :actor
    WHERE labels ->> 'host' = ANY (:names) AND state <> 'resolved'
    RETURNING id, level, value, threshold
),
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :time, 'resolved', level, value, threshold, :actor, :comment
    FROM resolved
    ORDER BY id
)
SELECT array_agg(id ORDER BY id) FROM resolved;

-- RESOLVE_OF_SENDER
WITH resolved AS (
    UPDATE system_alerts
    SET state = 'resolved', resolved_at = :time, resolved_by = :actor
    WHERE component = ANY (:names) AND NOT labels ? 'host' AND state <> 'resolved'
    RETURNING id, level, value, threshold
),
-- Resets the state of the instance. If its limit is still breached, another alert opens after the `for` of the rule.
cleared AS (
    UPDATE alert_states s
    SET phase = 'ok', since = NULL, clear_since = NULL, missing_since = NULL, value_rank = 0, floor_rank = 0,
        raised_at = NULL, acknowledged = false, is_flapping = false, alert_id = NULL
    FROM resolved
    WHERE s.alert_id = resolved.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :time, 'resolved', level, value, threshold, :actor, :comment
    FROM resolved
    ORDER BY id
)
SELECT array_agg(id ORDER BY id) FROM resolved;

ROLLBACK;
