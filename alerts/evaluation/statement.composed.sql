-- The statements of alerts/evaluation/statement.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i alerts/evaluation/statement.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :at_most, the service binds as a parameter.

\set at_most 'NULL'
\set end 'date_trunc(''minute'', now())'
\set grace_s '600'
\set last_at '(date_trunc(''minute'', now()) - interval ''1 minute'')'
\set minutes '0'
\set removal_grace 'interval ''30 seconds'''
\set rule_ids 'ARRAY(SELECT id FROM alert_rules)'
\set shard '0'
\set shards '1'
\set start 'date_trunc(''minute'', now())'
\set swept_from '(date_trunc(''minute'', now()) - interval ''10 minutes'')'
\set thresholds '(SELECT value FROM monitoring_config WHERE key = ''thresholds'')'
\set tolerance_s '3600'

BEGIN;

-- EVALUATE
-- Evaluates every rule over all series that it covers at one instant, stores alerts, audit rows and states, and returns
-- the transitions. If there are more than `at_most` changes, it stores nothing and returns their number.
WITH
-- The rules with their settings as numbers. `sign` is -1 if smaller is worse: a value times `sign` is worse if larger.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.window_s, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, r.error, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(alert_levels(), r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(alert_levels(), r.level) AS level_rank
    FROM alert_rules r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold'
               THEN :thresholds::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
),
-- The series that rules cover, with the limits of the settings, and the inputs to read for them.
settings AS (
    SELECT key AS metric, CASE WHEN value ->> 'op' IN ('>', '>=') THEN 1 WHEN value ->> 'op' IS NOT NULL
           THEN -1 END AS sign,
           value ->> 'op' IN ('>', '<') AS is_strict, level_limits(value) AS limits
    FROM jsonb_each(:thresholds::jsonb)
),
looked_at AS NOT MATERIALIZED (
    SELECT * FROM rule_series
), inputs AS NOT MATERIALIZED (
    SELECT * FROM rule_inputs
), covered AS NOT MATERIALIZED (
    SELECT t.rule_id, t.series_id, t.input_id, t.other_input_id, t.kind, t.aggregate,
           t.is_relative, t.budget, coalesce(d.sign, t.sign) AS sign, coalesce(d.is_strict, t.is_strict) AS is_strict,
           coalesce(coalesce(d.limits[1], d.limits[2], d.limits[3], d.limits[4]) * coalesce(d.sign, t.sign),
                    t.least_severe) AS least_severe, t.is_known
    FROM looked_at t
    LEFT JOIN settings d ON d.metric = t.settings
    LEFT JOIN series s ON s.id = t.series_id
    WHERE in_shard(t.rule_id, s.component, s.labels, :shard, :shards)
      AND t.series_id NOT IN (
              SELECT s.id
              FROM watched_components w
              JOIN series s ON s.component = w.component
              WHERE w.removed_at IS NOT NULL
                AND (w.removed_at > :end::timestamptz - :removal_grace::interval
                     OR NOT EXISTS (SELECT FROM series_state st WHERE st.series_id = s.id))
              UNION ALL
              -- A removed host has sent nothing since. Windows may still reach back to what it sent before.
              SELECT s.id
              FROM host_state h
              JOIN series s ON coalesce(s.labels ->> 'host', s.component) = h.name
              WHERE h.removed_at IS NOT NULL AND (h.kind = 'host') = (s.labels ? 'host')
          )
), needed AS MATERIALIZED (
    SELECT n.id, n.series_id, n.source, make_interval(secs => n.window_s) AS length,
           make_interval(secs => n.shift_s) AS shift,
           :start::timestamptz - make_interval(secs => n.window_s + n.shift_s) AS start_at,
           :end::timestamptz - make_interval(secs => n.shift_s) AS end_at,
           coalesce(:start::timestamptz - make_interval(secs => n.window_s + n.shift_s)
                    >= :swept_from::timestamptz,
                    false) AS is_swept
    FROM inputs n
    WHERE :shards = 1 OR n.id IN (SELECT input_id FROM covered UNION ALL SELECT other_input_id FROM covered)
),
-- Each needed aggregate at each instant, in the order of `positions`. Basic and extended aggregates are separate,
-- because first, last and stddev cost as much as all others together, and few rules use them.
window_aggregates AS MATERIALIZED (
    -- Reads the 1m tier. A swept input, of one instant and a few minutes, is read in one scan over all series, which is
    -- fastest for many rules. Every other input is read by an index lookup of its series. A minute counts for every instant
    -- whose window contains it.
    SELECT m.input_id, m.at, ARRAY[sum(m.sum) / sum(m.count::double precision), min(m.min), max(m.max), sum(m.sum),
        sum(m.count::double precision)]::double precision[] AS aggregates
    FROM (
        SELECT n.id AS input_id, :start::timestamptz AS at, m.bucket, m.count, m.sum, m.min, m.max
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
        WHERE n.is_swept AND n.source = 'basic_aggregates'
          AND EXISTS (SELECT FROM needed WHERE is_swept AND source = 'basic_aggregates')
          AND m.bucket >= :swept_from::timestamptz AND m.bucket < :end::timestamptz
          AND m.bucket >= (SELECT min(start_at) FROM needed WHERE is_swept AND source = 'basic_aggregates')
        UNION ALL
        SELECT n.id, i.at, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.min, m.max
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
            OFFSET 0
        ) m
        -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
        CROSS JOIN LATERAL generate_series(
            greatest(m.bucket + interval '1 minute' + n.shift, :start::timestamptz),
            least(m.bucket + n.length + n.shift, :end::timestamptz), interval '1 minute'
        ) i (at)
        WHERE n.source = 'basic_aggregates' AND NOT n.is_swept
    ) m
    GROUP BY m.input_id, m.at
    UNION ALL
    -- Reads the 1m tier. A swept input, of one instant and a few minutes, is read in one scan over all series, which is
    -- fastest for many rules. Every other input is read by an index lookup of its series. A minute counts for every instant
    -- whose window contains it.
    SELECT m.input_id, m.at, array_fill(NULL::double precision, ARRAY[5]) || ARRAY[first(m.first, m.bucket), last(m.last, m.bucket),
            stddev_of((merge_moments(ARRAY[m.count::double precision, m.sum, m.m2]))[3], sum(m.count::double precision))]::double precision[] AS aggregates
    FROM (
        SELECT n.id AS input_id, :start::timestamptz AS at, m.bucket, m.count, m.sum, m.m2, m.first, m.last
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
        WHERE n.is_swept AND n.source = 'extended_aggregates'
          AND EXISTS (SELECT FROM needed WHERE is_swept AND source = 'extended_aggregates')
          AND m.bucket >= :swept_from::timestamptz AND m.bucket < :end::timestamptz
          AND m.bucket >= (SELECT min(start_at) FROM needed WHERE is_swept AND source = 'extended_aggregates')
        UNION ALL
        SELECT n.id, i.at, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.m2, m.first, m.last
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
            OFFSET 0
        ) m
        -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
        CROSS JOIN LATERAL generate_series(
            greatest(m.bucket + interval '1 minute' + n.shift, :start::timestamptz),
            least(m.bucket + n.length + n.shift, :end::timestamptz), interval '1 minute'
        ) i (at)
        WHERE n.source = 'extended_aggregates' AND NOT n.is_swept
    ) m
    GROUP BY m.input_id, m.at
    UNION ALL
    SELECT n.id, i.at,
           ARRAY[avg(m.value), min(m.value), max(m.value), sum(m.value), count(*)::double precision,
                 first(m.value, m.time), last(m.value, m.time), stddev_pop(m.value),
                 (last(m.value, m.time) - first(m.value, m.time) + counter_resets(array_agg(m.value ORDER BY m.time)))
                 / nullif(extract(epoch FROM max(m.time) - min(m.time)), 0)::double precision
           ] || percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value)
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.value
        FROM system_metrics m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, :start::timestamptz),
        least(m.time + n.length + n.shift, :end::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'samples'
    GROUP BY n.id, i.at
    UNION ALL
    SELECT n.id, i.at,
           array_fill(NULL::double precision, ARRAY[9])
           || percentile(0.5, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.9, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.95, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.99, array_agg(m.log_bucket), array_agg(m.count))
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.log_bucket, m.count
        FROM system_distributions m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, :start::timestamptz),
        least(m.time + n.length + n.shift, :end::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'distributions'
    GROUP BY n.id, i.at
),
-- For each rule, series and instant: the value, the rank of the most severe breached limit, and a bit for each level
-- whose recovery limit is not passed (see state_machine.sql).
measured AS MATERIALIZED (
    SELECT found.rule_id, found.series_id, found.at, found.value, found.is_unanswered
    FROM (
        SELECT c.*, instant.at, c.kind = 'sql' AND other.aggregates IS NULL AS is_unanswered,
               nullif(CASE c.kind
                   WHEN 'change' THEN (now.aggregates[c.aggregate] - other.aggregates[c.aggregate])
                       * CASE WHEN c.is_relative THEN 100 / nullif(abs(other.aggregates[c.aggregate]), 0) ELSE 1 END
                   WHEN 'ratio' THEN now.aggregates[c.aggregate] / nullif(other.aggregates[c.aggregate], 0)
                   WHEN 'burn' THEN CASE WHEN other.aggregates IS NOT NULL THEN
                       (1 - greatest(now.aggregates[c.aggregate], other.aggregates[c.aggregate])) / c.budget END
                   ELSE now.aggregates[c.aggregate]
               END, 'NaN') AS value
        FROM covered c
        -- generate_series over integers: for one over timestamps the planner always expects 1,000 rows.
        CROSS JOIN (
            SELECT :start::timestamptz + number * interval '1 minute' AS at
            FROM generate_series(0, :minutes::integer) minute (number)
            OFFSET 0
        ) instant
        LEFT JOIN window_aggregates now ON now.input_id = c.input_id AND now.at = instant.at
        LEFT JOIN window_aggregates other ON other.input_id = c.other_input_id AND other.at = instant.at
        OFFSET 0
    ) found
    CROSS JOIN LATERAL (
        SELECT found.value * found.sign > found.least_severe
               OR NOT found.is_strict AND found.value * found.sign = found.least_severe AS is_breached
    ) mildest
    WHERE mildest.is_breached OR found.is_known OR found.rule_id IN (SELECT rule_id FROM alert_states)
), breaches AS MATERIALIZED (
    SELECT m.rule_id, s.component, s.labels, m.at, m.value,
           CASE WHEN m.value IS NOT NULL THEN 'value'
                WHEN m.is_unanswered THEN 'unanswered'
                ELSE 'missing' END AS status,
           CASE WHEN l.measure > l.enters[4] OR NOT r.is_strict AND l.measure = l.enters[4] THEN 4
                WHEN l.measure > l.enters[3] OR NOT r.is_strict AND l.measure = l.enters[3] THEN 3
                WHEN l.measure > l.enters[2] OR NOT r.is_strict AND l.measure = l.enters[2] THEN 2
                WHEN l.measure > l.enters[1] OR NOT r.is_strict AND l.measure = l.enters[1] THEN 1
                ELSE 0 END AS breached_rank,
           CASE WHEN l.measure > l.leaves[4] OR NOT r.is_strict AND l.measure = l.leaves[4] THEN 8 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[3] OR NOT r.is_strict AND l.measure = l.leaves[3] THEN 4 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[2] OR NOT r.is_strict AND l.measure = l.leaves[2] THEN 2 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[1] OR NOT r.is_strict AND l.measure = l.leaves[1] THEN 1 ELSE 0 END
           AS retained_bits
    FROM measured m
    JOIN series s ON s.id = m.series_id
    JOIN rules r ON r.id = m.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM measured))
    CROSS JOIN LATERAL (
        SELECT m.value * r.sign AS measure,
               ARRAY[r.limits[1] * r.sign, r.limits[2] * r.sign, r.limits[3] * r.sign, r.limits[4] * r.sign] AS enters,
               ARRAY[coalesce(r.leaves[1], r.limits[1]) * r.sign, coalesce(r.leaves[2], r.limits[2]) * r.sign,
                     coalesce(r.leaves[3], r.limits[3]) * r.sign, coalesce(r.leaves[4], r.limits[4]) * r.sign] AS leaves
        OFFSET 0
    ) l
),
-- The state machine applied to every instance that has a state row or breaches a limit.
evaluated AS MATERIALIZED (
    SELECT before.rule_id, before.component, before.labels, before.value, before.alert_id, before.was, after.*
    FROM (
        SELECT coalesce(breach.rule_id, state.rule_id) AS rule_id,
               coalesce(breach.component, state.component) AS component,
               coalesce(breach.labels, state.labels) AS labels, breach.value,
               coalesce(breach.breached_rank, 0) AS breached_rank, coalesce(breach.retained_bits, 0) AS retained_bits,
               -- A composite returns no row for instances that are clear.
               coalesce(breach.status, CASE WHEN rule.error IS NOT NULL THEN 'error'
                                            WHEN rule.kind = 'composite' THEN 'value' END) AS status,
               :end::timestamptz AS at, :last_at::timestamptz AS last_at, state.alert_id,
               state.rule_id IS NOT NULL AS is_known, coalesce(state.phase, 'ok') AS phase,
               state.since, state.clear_since, state.missing_since,
               coalesce(state.value_rank, 0) AS value_rank, coalesce(state.floor_rank, 0) AS floor_rank,
               state.raised_at, coalesce(state.acknowledged, false) AS acknowledged,
               coalesce(state.opens, '{}') AS opens, coalesce(state.is_flapping, false) AS is_flapping,
               rule.no_data, rule.on_error, rule.no_data_rank, rule.wait_for, rule.keep_for, rule.escalate_after,
               rule.flap_count, rule.flap_window,
               CASE WHEN state.rule_id IS NOT NULL THEN
                   ROW(state.phase, state.since, state.clear_since, state.missing_since, state.value_rank,
                       state.floor_rank, state.raised_at, state.acknowledged, state.opens, state.is_flapping)
                   END AS was
        FROM breaches breach
        FULL JOIN (
            SELECT * FROM alert_states WHERE rule_id <> ALL (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite')) AND in_shard(rule_id, component, labels, :shard, :shards)
        ) state
            ON state.rule_id = breach.rule_id AND state.component = breach.component AND state.labels = breach.labels
        LEFT JOIN rules rule ON rule.id = coalesce(breach.rule_id, state.rule_id)
            AND rule.id = ANY (ARRAY(SELECT rule_id FROM breaches UNION SELECT rule_id FROM alert_states))
        WHERE (state.rule_id IS NOT NULL OR breach.breached_rank > 0 OR rule.remembers AND breach.status = 'value')
          -- Skip instances that stay clear and whose state row would not change.
          AND (rule.remembers AND breach.status = 'value' AND breach.breached_rank = 0 AND state.phase = 'ok'
               AND state.missing_since IS NULL AND state.opens = '{}') IS NOT TRUE
    ) before
    -- One minute of the state machine of an alert, from `before` to `after`. docs/reference/alerts.md shows it as a table.
    --
    -- `before` has one row for each instance (a rule and a series, or for composites a component). It holds the stored
    -- state (phase, since, clear_since, ...), the measurement of this minute (status, value, breached_rank, retained_bits),
    -- the settings of the rule (wait_for, keep_for, ...), this minute (`at`) and the minute evaluated before it
    -- (`last_at`). The rank of a level is its position in alert_levels(): 1 info to 4 emergency; 0 is none.
    -- `breached_rank` is the rank of the most severe breached limit. `retained_bits` has a bit for each level whose
    -- recovery limit is not passed yet: 1 info, 2 warning, 4 critical, 8 emergency.
    --
    --  1. gap        Find an evaluation gap before this minute. It counts toward neither `for` nor `keep_firing_for`.
    --  2. timers     Move the start of pending, clear and missing by the length of the gap. Restart them after a long gap.
    --  3. policy     Choose the reading: the value or, without one, what `no_data` or `on_error` of the rule says.
    --  4. reading    Take ranks and bits from that reading, and the time without a value, which does not count either.
    --  5. retained   Find the most severe level that the alert reached and has not left.
    --  6. due        Find the rank of this minute (0 is clear), and the timers that count for it.
    --  7. entered    Find the new phase.
    --  8. change     Find whether the alert opens or is clear, and the rank of its value.
    --  9. escalated  Find the rank that escalation by time guarantees, and the times at which the alert opened.
    -- 10. shown      Find the rank and the flapping that people see.
    -- 11. after      Compose the new state, the transition and its reason.
    --
    -- OFFSET 0 keeps the planner from inlining the steps: inlined, each expression would be computed many times.
    
    -- 1. gap
    CROSS JOIN LATERAL (
        SELECT coalesce(before.at - before.last_at > interval '2 minutes', false) AS is_gap,
               coalesce(before.at - before.last_at > make_interval(secs => :tolerance_s), false) AS is_lost,
               coalesce(before.missing_since, before.last_at) AS seen_to,
               make_interval(secs => :grace_s) AS grace
    ) gap
    
    -- 2. timers
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase <> 'pending' OR NOT gap.is_gap THEN before.since
                    WHEN gap.is_lost OR before.wait_for < gap.grace THEN before.at
                    WHEN before.wait_for - (gap.seen_to - before.since) > interval '0'
                     AND before.wait_for - (gap.seen_to - before.since) < gap.grace
                    THEN before.at + gap.grace - before.wait_for
                    ELSE before.since + (before.at - gap.seen_to) END AS since,
               CASE WHEN before.clear_since IS NULL OR NOT gap.is_gap THEN before.clear_since
                    WHEN gap.is_lost THEN before.at
                    ELSE before.clear_since + (before.at - gap.seen_to) END AS clear_since,
               CASE WHEN before.missing_since IS NOT NULL AND gap.is_gap THEN before.at
                    ELSE before.missing_since END AS missing_since
        OFFSET 0
    ) timers
    
    -- 3. policy: a rule with no_data = 'alert' keeps its state until it has seen a first value.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.status IS NULL THEN 'gone'
                    WHEN before.status = 'value' THEN 'value'
                    WHEN before.status = 'error' THEN before.on_error
                    WHEN before.status = 'unanswered' THEN 'keep'
                    WHEN before.no_data = 'alert' AND NOT before.is_known THEN 'keep'
                    ELSE before.no_data END AS reading
    ) policy
    
    -- 4. reading: the mask limits `retained_bits` to levels that the value has reached.
    CROSS JOIN LATERAL (
        SELECT policy.reading = 'keep' AS is_kept,
               CASE policy.reading WHEN 'value' THEN before.breached_rank
                                   WHEN 'alert' THEN before.no_data_rank ELSE 0 END AS breached_rank,
               CASE policy.reading WHEN 'value' THEN before.retained_bits WHEN 'alert' THEN 15 ELSE 0 END
                   & ((1 << before.value_rank) - 1) AS retained_bits,
               CASE WHEN policy.reading = 'keep' THEN interval '0'
                    ELSE coalesce(before.at - timers.missing_since, interval '0') END AS unseen_for
    ) reading
    
    -- 5. retained
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.retained_bits >= 8 THEN 4
                    WHEN reading.retained_bits >= 4 THEN 3
                    WHEN reading.retained_bits >= 2 THEN 2
                    ELSE reading.retained_bits END AS rank
    ) retained
    
    -- 6. due
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase = 'pending' THEN least(timers.since + reading.unseen_for, before.at)
                    ELSE before.since END AS since,
               least(timers.clear_since + reading.unseen_for, before.at) AS clear_since,
               CASE WHEN before.phase = 'firing' THEN greatest(reading.breached_rank, retained.rank)
                    ELSE reading.breached_rank END AS rank,
               CASE WHEN before.is_flapping THEN greatest(before.keep_for, before.flap_window)
                    ELSE before.keep_for END AS keep_for
        OFFSET 0
    ) due
    
    -- 7. entered
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.is_kept THEN before.phase
                    WHEN policy.reading = 'gone' THEN 'ok'
                    WHEN before.phase = 'firing' THEN
                        CASE WHEN due.rank = 0 AND before.at - coalesce(due.clear_since, before.at) >= due.keep_for
                            THEN 'ok'
                             ELSE 'firing' END
                    WHEN due.rank = 0 THEN 'ok'
                    WHEN before.at - CASE WHEN before.phase = 'pending' THEN due.since ELSE before.at END >= before.wait_for
                    THEN 'firing'
                    ELSE 'pending' END AS phase
        OFFSET 0
    ) entered
    
    -- 8. change
    CROSS JOIN LATERAL (
        SELECT entered.phase = 'firing' AND before.phase <> 'firing' AS is_opening,
               entered.phase = 'firing' AND NOT reading.is_kept AND due.rank = 0 AS is_clear,
               CASE WHEN entered.phase <> 'firing' THEN 0
                    WHEN reading.is_kept OR due.rank = 0 THEN before.value_rank
                    ELSE due.rank END AS value_rank,
               greatest(before.value_rank, before.floor_rank) AS old_rank
        OFFSET 0
    ) change
    
    -- 9. escalated: one rank for each `escalate_after` that passes without an acknowledgement, up to the highest.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN entered.phase <> 'firing' OR change.is_opening THEN 0
                    WHEN before.escalate_after IS NOT NULL AND NOT before.acknowledged
                     AND NOT reading.is_kept AND NOT change.is_clear
                     AND change.value_rank <= change.old_rank AND greatest(change.value_rank, before.floor_rank) < 4
                     AND before.at - before.raised_at >= before.escalate_after
                    THEN greatest(change.value_rank, before.floor_rank) + 1
                    ELSE before.floor_rank END AS floor_rank,
               CASE WHEN change.is_opening AND before.flap_count > 0
                    THEN (before.opens || before.at)[greatest(1, cardinality(before.opens) + 2 - before.flap_count):]
                    ELSE before.opens END AS opens
        OFFSET 0
    ) escalated
    
    -- 10. shown
    CROSS JOIN LATERAL (
        SELECT greatest(change.value_rank, escalated.floor_rank) AS rank,
               CASE WHEN change.is_opening
                    THEN before.flap_count > 0 AND cardinality(escalated.opens) >= before.flap_count
                         AND escalated.opens[1] > before.at - before.flap_window
                    ELSE before.is_flapping AND entered.phase = 'firing' END AS is_flapping
    ) shown
    
    -- 11. after
    CROSS JOIN LATERAL (
        SELECT entered.phase,
               CASE WHEN entered.phase = 'ok' THEN NULL
                    WHEN entered.phase <> before.phase AND (change.is_opening OR before.phase = 'ok') THEN before.at
                    ELSE due.since END AS since,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN reading.is_kept THEN timers.clear_since
                    WHEN change.is_clear THEN coalesce(due.clear_since, before.at) END AS clear_since,
               CASE WHEN reading.is_kept AND entered.phase <> 'ok'
                    THEN coalesce(timers.missing_since, CASE WHEN NOT gap.is_gap THEN before.last_at END, before.at)
                    END AS missing_since,
               change.value_rank, escalated.floor_rank,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN change.is_opening OR shown.rank > change.old_rank THEN before.at
                    ELSE before.raised_at END AS raised_at,
               before.acknowledged AND entered.phase = 'firing' AS acknowledged,
               escalated.opens, shown.is_flapping, shown.rank,
               CASE WHEN change.is_opening THEN 'opened'
                    WHEN before.phase = 'firing' AND entered.phase = 'ok' THEN 'resolved'
                    WHEN entered.phase = 'firing' AND shown.rank > change.old_rank THEN 'escalated'
                    WHEN entered.phase = 'firing' AND shown.rank < change.old_rank THEN 'lowered' END AS transition,
               CASE WHEN policy.reading = 'gone' THEN 'the rule no longer looks at it'
                    WHEN escalated.floor_rank > before.floor_rank THEN 'nobody acknowledged it'
                    WHEN before.status = 'missing' THEN 'no data'
                    WHEN before.status = 'error' THEN 'the rule cannot be evaluated'
                    WHEN change.is_opening AND shown.is_flapping THEN 'it flaps'
                    ELSE '' END AS reason,
               -- Whether the state row is kept. A clear instance has none, unless its past openings or the fact that it
               -- was seen matter.
               entered.phase <> 'ok' OR policy.reading <> 'gone' AND (
                   cardinality(escalated.opens) > 0
                   OR 'alert' IN (before.no_data, before.on_error) AND (before.is_known OR before.status = 'value')
               ) AS is_known
    ) after
),
-- State changes of this minute, and the alert text of each. If there are more than `at_most`, apply none.
turned AS MATERIALIZED (
    SELECT *
    FROM evaluated
    WHERE transition IS NOT NULL OR NOT is_known
       OR ROW(phase, since, clear_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE :at_most::integer IS NULL OR (SELECT count(*) FROM turned) <= :at_most
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.transition, j.reason, j.is_flapping, j.value,
           CASE WHEN j.transition <> 'resolved' THEN (alert_levels())[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN subject_of(j.component, j.labels) || ' is down'
                WHEN r.metric = 'host_silent_seconds'
                THEN coalesce(j.labels ->> 'host', j.component) || ' stopped sending'
                ELSE concat_ws(': ', nullif(subject_of(j.component, j.labels), ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ',
               'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                WHEN r.metric = 'host_silent_seconds' THEN coalesce(nullif(st.reason, ''), 'no sample arrives')
                ELSE breach_message(
                    CASE r.kind WHEN 'burn' THEN 'Burn rate of the error budget'
                                ELSE metric_title(r.metric) || labels_in_brackets(j.labels) END
                    || CASE r.kind WHEN 'change' THEN ' changed by'
                                   WHEN 'ratio' THEN ' per ' || metric_title(r.over) || ' at' ELSE ' at' END,
                    j.value, u.unit, r.op, coalesce(r.limits[j.rank], r.limits[j.value_rank]))
                    || CASE WHEN r.kind IN ('burn', 'sql') THEN ''
                            ELSE ', ' || aggregate_text(r.agg, r.window_s) END END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') OR r.agg = 'count' THEN NULL
                    WHEN r.is_relative THEN 'percent' ELSE s.unit END AS unit
    ) u
    WHERE j.transition IS NOT NULL
), opened AS (
    INSERT INTO system_alerts (rule, series_id, level, category, component, labels, title, message,
                               value, threshold, is_flapping, opened_at)
    SELECT rule, series_id, level, category, component, labels, title, message,
           value, threshold, is_flapping, :end::timestamptz
    FROM moving
    WHERE transition = 'opened'
    ORDER BY rank DESC, series_id, rule
    RETURNING id, rule, component, labels, level, value, threshold
), moved AS (
    UPDATE system_alerts a
    SET level = coalesce(m.level, a.level), value = coalesce(m.value, a.value),
        threshold = CASE m.transition WHEN 'resolved' THEN a.threshold ELSE m.threshold END,
        message = CASE m.transition WHEN 'resolved' THEN a.message ELSE m.message END,
        state = CASE m.transition WHEN 'resolved' THEN 'resolved' ELSE a.state END,
        resolved_at = CASE m.transition WHEN 'resolved' THEN :end::timestamptz END,
        resolved_by = CASE m.transition WHEN 'resolved' THEN 'auto' END
    FROM moving m
    WHERE a.id = m.alert_id AND a.state <> 'resolved'
      AND a.id = ANY (ARRAY(SELECT alert_id FROM moving WHERE alert_id IS NOT NULL))
    RETURNING a.id, a.level, a.threshold
), transitions AS (
    SELECT o.id, o.level, o.value, o.threshold, m.transition, m.reason
    FROM opened o
    JOIN moving m ON m.rule = o.rule AND m.component = o.component AND m.labels = o.labels
    UNION ALL
    SELECT v.id, v.level, m.value, v.threshold, m.transition, m.reason
    FROM moved v
    JOIN moving m ON m.alert_id = v.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :end::timestamptz, transition, level, value, threshold, 'auto', reason
    FROM transitions
    ORDER BY id
), written AS (
    INSERT INTO alert_states (rule_id, component, labels, phase, since, clear_since, missing_since, value_rank,
                              floor_rank, raised_at, acknowledged, opens, is_flapping, alert_id)
    SELECT j.rule_id, j.component, j.labels, j.phase, j.since, j.clear_since, j.missing_since, j.value_rank,
           j.floor_rank, j.raised_at, j.acknowledged, j.opens, j.is_flapping,
           CASE WHEN j.transition = 'opened' THEN o.id WHEN j.phase = 'firing' THEN j.alert_id END
    FROM changed j
    LEFT JOIN alert_rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN opened o ON j.transition = 'opened' AND o.rule = r.name AND o.component = j.component
        AND o.labels = j.labels
    WHERE j.is_known
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, clear_since = excluded.clear_since,
        missing_since = excluded.missing_since, value_rank = excluded.value_rank, floor_rank = excluded.floor_rank,
        raised_at = excluded.raised_at, acknowledged = excluded.acknowledged, opens = excluded.opens,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
), forgotten AS (
    DELETE FROM alert_states s
    USING changed j
    WHERE s.rule_id = j.rule_id AND s.component = j.component AND s.labels = j.labels AND NOT j.is_known
)
SELECT id AS alert_id, transition FROM transitions
UNION ALL
SELECT count(*), NULL FROM turned HAVING count(*) > :at_most
ORDER BY alert_id;

-- EVALUATE_COMPOSITES
-- Evaluates every rule over all series that it covers at one instant, stores alerts, audit rows and states, and returns
-- the transitions. If there are more than `at_most` changes, it stores nothing and returns their number.
WITH
-- The rules with their settings as numbers. `sign` is -1 if smaller is worse: a value times `sign` is worse if larger.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.window_s, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, r.error, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(alert_levels(), r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(alert_levels(), r.level) AS level_rank
    FROM alert_rules r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold'
               THEN :thresholds::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
),
-- The result of each composite at each instant, over all components together or for each component by itself. A
-- composite fires if all of `all_of`, at least one of `any_of` (if given) and none of `none_of` fire.
members AS MATERIALIZED (
    SELECT r.id AS rule_id, m.role, m.name
    FROM rules r
    CROSS JOIN LATERAL (
        SELECT 'all' AS role, unnest(r.all_of) AS name
        UNION ALL
        SELECT 'any', unnest(r.any_of)
        UNION ALL
        SELECT 'none', unnest(r.none_of)
    ) m
    WHERE r.kind = 'composite' AND r.error IS NULL
),
spans AS MATERIALIZED (
    SELECT r.name, s.component, greatest(s.value_rank, s.floor_rank) AS rank,
           '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    FROM alert_states s
    JOIN alert_rules r ON r.id = s.rule_id
    WHERE s.phase = 'firing' AND r.name IN (SELECT name FROM members)
), fires AS MATERIALIZED (
    SELECT m.rule_id, CASE WHEN r.by_component THEN f.component ELSE coalesce(r.component, '') END AS component,
           i.at, m.role, m.name, max(f.rank) AS rank
    FROM members m
    JOIN rules r ON r.id = m.rule_id
    JOIN spans f ON f.name = m.name AND (r.component IS NULL OR f.component = r.component)
    CROSS JOIN generate_series(0, :minutes::integer) minute (number)
    CROSS JOIN LATERAL (SELECT :start::timestamptz + minute.number * interval '1 minute' AS at) i
    WHERE i.at >= f.since AND i.at < f.until
    GROUP BY m.rule_id, 2, i.at, m.role, m.name
), breaches AS MATERIALIZED (
    SELECT t.rule_id, t.component, '{}'::jsonb AS labels, t.at, t.value, 'value' AS status,
           CASE WHEN t.is_met THEN coalesce(r.level_rank, t.rank) ELSE 0 END AS breached_rank,
           CASE WHEN t.is_met THEN (1 << coalesce(r.level_rank, t.rank)) - 1 ELSE 0 END AS retained_bits
    FROM (
        SELECT k.rule_id, k.component, i.at, max(f.rank) FILTER (WHERE f.role <> 'none') AS rank,
               nullif(count(*) FILTER (WHERE f.role <> 'none'), 0)::double precision AS value,
               count(*) FILTER (WHERE f.role = 'all') = cardinality(min(r.all_of))
               AND (min(r.any_of) = '{}' OR count(*) FILTER (WHERE f.role = 'any') > 0)
               AND count(*) FILTER (WHERE f.role = 'none') = 0 AS is_met
        FROM (
            SELECT rule_id, component FROM fires WHERE role <> 'none'
            UNION
            SELECT rule_id, component FROM alert_states WHERE false
        ) k
        JOIN rules r ON r.id = k.rule_id
        CROSS JOIN generate_series(0, :minutes::integer) minute (number)
        CROSS JOIN LATERAL (SELECT :start::timestamptz + minute.number * interval '1 minute' AS at) i
        LEFT JOIN fires f ON f.rule_id = k.rule_id AND f.component = k.component AND f.at = i.at
        GROUP BY k.rule_id, k.component, i.at
    ) t
    JOIN rules r ON r.id = t.rule_id
),
-- The state machine applied to every instance that has a state row or breaches a limit.
evaluated AS MATERIALIZED (
    SELECT before.rule_id, before.component, before.labels, before.value, before.alert_id, before.was, after.*
    FROM (
        SELECT coalesce(breach.rule_id, state.rule_id) AS rule_id,
               coalesce(breach.component, state.component) AS component,
               coalesce(breach.labels, state.labels) AS labels, breach.value,
               coalesce(breach.breached_rank, 0) AS breached_rank, coalesce(breach.retained_bits, 0) AS retained_bits,
               -- A composite returns no row for instances that are clear.
               coalesce(breach.status, CASE WHEN rule.error IS NOT NULL THEN 'error'
                                            WHEN rule.kind = 'composite' THEN 'value' END) AS status,
               :end::timestamptz AS at, :last_at::timestamptz AS last_at, state.alert_id,
               state.rule_id IS NOT NULL AS is_known, coalesce(state.phase, 'ok') AS phase,
               state.since, state.clear_since, state.missing_since,
               coalesce(state.value_rank, 0) AS value_rank, coalesce(state.floor_rank, 0) AS floor_rank,
               state.raised_at, coalesce(state.acknowledged, false) AS acknowledged,
               coalesce(state.opens, '{}') AS opens, coalesce(state.is_flapping, false) AS is_flapping,
               rule.no_data, rule.on_error, rule.no_data_rank, rule.wait_for, rule.keep_for, rule.escalate_after,
               rule.flap_count, rule.flap_window,
               CASE WHEN state.rule_id IS NOT NULL THEN
                   ROW(state.phase, state.since, state.clear_since, state.missing_since, state.value_rank,
                       state.floor_rank, state.raised_at, state.acknowledged, state.opens, state.is_flapping)
                   END AS was
        FROM breaches breach
        FULL JOIN (
            SELECT * FROM alert_states WHERE rule_id = ANY (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite')) AND in_shard(rule_id, component, labels, :shard, :shards)
        ) state
            ON state.rule_id = breach.rule_id AND state.component = breach.component AND state.labels = breach.labels
        LEFT JOIN rules rule ON rule.id = coalesce(breach.rule_id, state.rule_id)
            AND rule.id = ANY (ARRAY(SELECT rule_id FROM breaches UNION SELECT rule_id FROM alert_states))
        WHERE (state.rule_id IS NOT NULL OR breach.breached_rank > 0 OR rule.remembers AND breach.status = 'value')
          -- Skip instances that stay clear and whose state row would not change.
          AND (rule.remembers AND breach.status = 'value' AND breach.breached_rank = 0 AND state.phase = 'ok'
               AND state.missing_since IS NULL AND state.opens = '{}') IS NOT TRUE
    ) before
    -- One minute of the state machine of an alert, from `before` to `after`. docs/reference/alerts.md shows it as a table.
    --
    -- `before` has one row for each instance (a rule and a series, or for composites a component). It holds the stored
    -- state (phase, since, clear_since, ...), the measurement of this minute (status, value, breached_rank, retained_bits),
    -- the settings of the rule (wait_for, keep_for, ...), this minute (`at`) and the minute evaluated before it
    -- (`last_at`). The rank of a level is its position in alert_levels(): 1 info to 4 emergency; 0 is none.
    -- `breached_rank` is the rank of the most severe breached limit. `retained_bits` has a bit for each level whose
    -- recovery limit is not passed yet: 1 info, 2 warning, 4 critical, 8 emergency.
    --
    --  1. gap        Find an evaluation gap before this minute. It counts toward neither `for` nor `keep_firing_for`.
    --  2. timers     Move the start of pending, clear and missing by the length of the gap. Restart them after a long gap.
    --  3. policy     Choose the reading: the value or, without one, what `no_data` or `on_error` of the rule says.
    --  4. reading    Take ranks and bits from that reading, and the time without a value, which does not count either.
    --  5. retained   Find the most severe level that the alert reached and has not left.
    --  6. due        Find the rank of this minute (0 is clear), and the timers that count for it.
    --  7. entered    Find the new phase.
    --  8. change     Find whether the alert opens or is clear, and the rank of its value.
    --  9. escalated  Find the rank that escalation by time guarantees, and the times at which the alert opened.
    -- 10. shown      Find the rank and the flapping that people see.
    -- 11. after      Compose the new state, the transition and its reason.
    --
    -- OFFSET 0 keeps the planner from inlining the steps: inlined, each expression would be computed many times.
    
    -- 1. gap
    CROSS JOIN LATERAL (
        SELECT coalesce(before.at - before.last_at > interval '2 minutes', false) AS is_gap,
               coalesce(before.at - before.last_at > make_interval(secs => :tolerance_s), false) AS is_lost,
               coalesce(before.missing_since, before.last_at) AS seen_to,
               make_interval(secs => :grace_s) AS grace
    ) gap
    
    -- 2. timers
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase <> 'pending' OR NOT gap.is_gap THEN before.since
                    WHEN gap.is_lost OR before.wait_for < gap.grace THEN before.at
                    WHEN before.wait_for - (gap.seen_to - before.since) > interval '0'
                     AND before.wait_for - (gap.seen_to - before.since) < gap.grace
                    THEN before.at + gap.grace - before.wait_for
                    ELSE before.since + (before.at - gap.seen_to) END AS since,
               CASE WHEN before.clear_since IS NULL OR NOT gap.is_gap THEN before.clear_since
                    WHEN gap.is_lost THEN before.at
                    ELSE before.clear_since + (before.at - gap.seen_to) END AS clear_since,
               CASE WHEN before.missing_since IS NOT NULL AND gap.is_gap THEN before.at
                    ELSE before.missing_since END AS missing_since
        OFFSET 0
    ) timers
    
    -- 3. policy: a rule with no_data = 'alert' keeps its state until it has seen a first value.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.status IS NULL THEN 'gone'
                    WHEN before.status = 'value' THEN 'value'
                    WHEN before.status = 'error' THEN before.on_error
                    WHEN before.status = 'unanswered' THEN 'keep'
                    WHEN before.no_data = 'alert' AND NOT before.is_known THEN 'keep'
                    ELSE before.no_data END AS reading
    ) policy
    
    -- 4. reading: the mask limits `retained_bits` to levels that the value has reached.
    CROSS JOIN LATERAL (
        SELECT policy.reading = 'keep' AS is_kept,
               CASE policy.reading WHEN 'value' THEN before.breached_rank
                                   WHEN 'alert' THEN before.no_data_rank ELSE 0 END AS breached_rank,
               CASE policy.reading WHEN 'value' THEN before.retained_bits WHEN 'alert' THEN 15 ELSE 0 END
                   & ((1 << before.value_rank) - 1) AS retained_bits,
               CASE WHEN policy.reading = 'keep' THEN interval '0'
                    ELSE coalesce(before.at - timers.missing_since, interval '0') END AS unseen_for
    ) reading
    
    -- 5. retained
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.retained_bits >= 8 THEN 4
                    WHEN reading.retained_bits >= 4 THEN 3
                    WHEN reading.retained_bits >= 2 THEN 2
                    ELSE reading.retained_bits END AS rank
    ) retained
    
    -- 6. due
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase = 'pending' THEN least(timers.since + reading.unseen_for, before.at)
                    ELSE before.since END AS since,
               least(timers.clear_since + reading.unseen_for, before.at) AS clear_since,
               CASE WHEN before.phase = 'firing' THEN greatest(reading.breached_rank, retained.rank)
                    ELSE reading.breached_rank END AS rank,
               CASE WHEN before.is_flapping THEN greatest(before.keep_for, before.flap_window)
                    ELSE before.keep_for END AS keep_for
        OFFSET 0
    ) due
    
    -- 7. entered
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.is_kept THEN before.phase
                    WHEN policy.reading = 'gone' THEN 'ok'
                    WHEN before.phase = 'firing' THEN
                        CASE WHEN due.rank = 0 AND before.at - coalesce(due.clear_since, before.at) >= due.keep_for
                            THEN 'ok'
                             ELSE 'firing' END
                    WHEN due.rank = 0 THEN 'ok'
                    WHEN before.at - CASE WHEN before.phase = 'pending' THEN due.since ELSE before.at END >= before.wait_for
                    THEN 'firing'
                    ELSE 'pending' END AS phase
        OFFSET 0
    ) entered
    
    -- 8. change
    CROSS JOIN LATERAL (
        SELECT entered.phase = 'firing' AND before.phase <> 'firing' AS is_opening,
               entered.phase = 'firing' AND NOT reading.is_kept AND due.rank = 0 AS is_clear,
               CASE WHEN entered.phase <> 'firing' THEN 0
                    WHEN reading.is_kept OR due.rank = 0 THEN before.value_rank
                    ELSE due.rank END AS value_rank,
               greatest(before.value_rank, before.floor_rank) AS old_rank
        OFFSET 0
    ) change
    
    -- 9. escalated: one rank for each `escalate_after` that passes without an acknowledgement, up to the highest.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN entered.phase <> 'firing' OR change.is_opening THEN 0
                    WHEN before.escalate_after IS NOT NULL AND NOT before.acknowledged
                     AND NOT reading.is_kept AND NOT change.is_clear
                     AND change.value_rank <= change.old_rank AND greatest(change.value_rank, before.floor_rank) < 4
                     AND before.at - before.raised_at >= before.escalate_after
                    THEN greatest(change.value_rank, before.floor_rank) + 1
                    ELSE before.floor_rank END AS floor_rank,
               CASE WHEN change.is_opening AND before.flap_count > 0
                    THEN (before.opens || before.at)[greatest(1, cardinality(before.opens) + 2 - before.flap_count):]
                    ELSE before.opens END AS opens
        OFFSET 0
    ) escalated
    
    -- 10. shown
    CROSS JOIN LATERAL (
        SELECT greatest(change.value_rank, escalated.floor_rank) AS rank,
               CASE WHEN change.is_opening
                    THEN before.flap_count > 0 AND cardinality(escalated.opens) >= before.flap_count
                         AND escalated.opens[1] > before.at - before.flap_window
                    ELSE before.is_flapping AND entered.phase = 'firing' END AS is_flapping
    ) shown
    
    -- 11. after
    CROSS JOIN LATERAL (
        SELECT entered.phase,
               CASE WHEN entered.phase = 'ok' THEN NULL
                    WHEN entered.phase <> before.phase AND (change.is_opening OR before.phase = 'ok') THEN before.at
                    ELSE due.since END AS since,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN reading.is_kept THEN timers.clear_since
                    WHEN change.is_clear THEN coalesce(due.clear_since, before.at) END AS clear_since,
               CASE WHEN reading.is_kept AND entered.phase <> 'ok'
                    THEN coalesce(timers.missing_since, CASE WHEN NOT gap.is_gap THEN before.last_at END, before.at)
                    END AS missing_since,
               change.value_rank, escalated.floor_rank,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN change.is_opening OR shown.rank > change.old_rank THEN before.at
                    ELSE before.raised_at END AS raised_at,
               before.acknowledged AND entered.phase = 'firing' AS acknowledged,
               escalated.opens, shown.is_flapping, shown.rank,
               CASE WHEN change.is_opening THEN 'opened'
                    WHEN before.phase = 'firing' AND entered.phase = 'ok' THEN 'resolved'
                    WHEN entered.phase = 'firing' AND shown.rank > change.old_rank THEN 'escalated'
                    WHEN entered.phase = 'firing' AND shown.rank < change.old_rank THEN 'lowered' END AS transition,
               CASE WHEN policy.reading = 'gone' THEN 'the rule no longer looks at it'
                    WHEN escalated.floor_rank > before.floor_rank THEN 'nobody acknowledged it'
                    WHEN before.status = 'missing' THEN 'no data'
                    WHEN before.status = 'error' THEN 'the rule cannot be evaluated'
                    WHEN change.is_opening AND shown.is_flapping THEN 'it flaps'
                    ELSE '' END AS reason,
               -- Whether the state row is kept. A clear instance has none, unless its past openings or the fact that it
               -- was seen matter.
               entered.phase <> 'ok' OR policy.reading <> 'gone' AND (
                   cardinality(escalated.opens) > 0
                   OR 'alert' IN (before.no_data, before.on_error) AND (before.is_known OR before.status = 'value')
               ) AS is_known
    ) after
),
-- State changes of this minute, and the alert text of each. If there are more than `at_most`, apply none.
turned AS MATERIALIZED (
    SELECT *
    FROM evaluated
    WHERE transition IS NOT NULL OR NOT is_known
       OR ROW(phase, since, clear_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE :at_most::integer IS NULL OR (SELECT count(*) FROM turned) <= :at_most
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.transition, j.reason, j.is_flapping, j.value,
           CASE WHEN j.transition <> 'resolved' THEN (alert_levels())[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN subject_of(j.component, j.labels) || ' is down'
                WHEN r.metric = 'host_silent_seconds'
                THEN coalesce(j.labels ->> 'host', j.component) || ' stopped sending'
                ELSE concat_ws(': ', nullif(subject_of(j.component, j.labels), ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ',
               'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                WHEN r.metric = 'host_silent_seconds' THEN coalesce(nullif(st.reason, ''), 'no sample arrives')
                ELSE breach_message(
                    CASE r.kind WHEN 'burn' THEN 'Burn rate of the error budget'
                                ELSE metric_title(r.metric) || labels_in_brackets(j.labels) END
                    || CASE r.kind WHEN 'change' THEN ' changed by'
                                   WHEN 'ratio' THEN ' per ' || metric_title(r.over) || ' at' ELSE ' at' END,
                    j.value, u.unit, r.op, coalesce(r.limits[j.rank], r.limits[j.value_rank]))
                    || CASE WHEN r.kind IN ('burn', 'sql') THEN ''
                            ELSE ', ' || aggregate_text(r.agg, r.window_s) END END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') OR r.agg = 'count' THEN NULL
                    WHEN r.is_relative THEN 'percent' ELSE s.unit END AS unit
    ) u
    WHERE j.transition IS NOT NULL
), opened AS (
    INSERT INTO system_alerts (rule, series_id, level, category, component, labels, title, message,
                               value, threshold, is_flapping, opened_at)
    SELECT rule, series_id, level, category, component, labels, title, message,
           value, threshold, is_flapping, :end::timestamptz
    FROM moving
    WHERE transition = 'opened'
    ORDER BY rank DESC, series_id, rule
    RETURNING id, rule, component, labels, level, value, threshold
), moved AS (
    UPDATE system_alerts a
    SET level = coalesce(m.level, a.level), value = coalesce(m.value, a.value),
        threshold = CASE m.transition WHEN 'resolved' THEN a.threshold ELSE m.threshold END,
        message = CASE m.transition WHEN 'resolved' THEN a.message ELSE m.message END,
        state = CASE m.transition WHEN 'resolved' THEN 'resolved' ELSE a.state END,
        resolved_at = CASE m.transition WHEN 'resolved' THEN :end::timestamptz END,
        resolved_by = CASE m.transition WHEN 'resolved' THEN 'auto' END
    FROM moving m
    WHERE a.id = m.alert_id AND a.state <> 'resolved'
      AND a.id = ANY (ARRAY(SELECT alert_id FROM moving WHERE alert_id IS NOT NULL))
    RETURNING a.id, a.level, a.threshold
), transitions AS (
    SELECT o.id, o.level, o.value, o.threshold, m.transition, m.reason
    FROM opened o
    JOIN moving m ON m.rule = o.rule AND m.component = o.component AND m.labels = o.labels
    UNION ALL
    SELECT v.id, v.level, m.value, v.threshold, m.transition, m.reason
    FROM moved v
    JOIN moving m ON m.alert_id = v.id
), logged AS (
    INSERT INTO system_alert_events (alert_id, time, type, level, value, threshold, actor, comment)
    SELECT id, :end::timestamptz, transition, level, value, threshold, 'auto', reason
    FROM transitions
    ORDER BY id
), written AS (
    INSERT INTO alert_states (rule_id, component, labels, phase, since, clear_since, missing_since, value_rank,
                              floor_rank, raised_at, acknowledged, opens, is_flapping, alert_id)
    SELECT j.rule_id, j.component, j.labels, j.phase, j.since, j.clear_since, j.missing_since, j.value_rank,
           j.floor_rank, j.raised_at, j.acknowledged, j.opens, j.is_flapping,
           CASE WHEN j.transition = 'opened' THEN o.id WHEN j.phase = 'firing' THEN j.alert_id END
    FROM changed j
    LEFT JOIN alert_rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN opened o ON j.transition = 'opened' AND o.rule = r.name AND o.component = j.component
        AND o.labels = j.labels
    WHERE j.is_known
    ON CONFLICT (rule_id, component, labels) DO UPDATE
    SET phase = excluded.phase, since = excluded.since, clear_since = excluded.clear_since,
        missing_since = excluded.missing_since, value_rank = excluded.value_rank, floor_rank = excluded.floor_rank,
        raised_at = excluded.raised_at, acknowledged = excluded.acknowledged, opens = excluded.opens,
        is_flapping = excluded.is_flapping, alert_id = excluded.alert_id
), forgotten AS (
    DELETE FROM alert_states s
    USING changed j
    WHERE s.rule_id = j.rule_id AND s.component = j.component AND s.labels = j.labels AND NOT j.is_known
)
SELECT id AS alert_id, transition FROM transitions
UNION ALL
SELECT count(*), NULL FROM turned HAVING count(*) > :at_most
ORDER BY alert_id;

-- PROBE
-- Evaluates some rules, alert texts included, without storing anything. Only an error is of interest; the whole row is
-- counted so that the planner cannot drop any expression.
WITH
-- The rules with their settings as numbers. `sign` is -1 if smaller is worse: a value times `sign` is worse if larger.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.window_s, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, NULL::text AS error, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(alert_levels(), r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(alert_levels(), r.level) AS level_rank
    FROM (SELECT a.* FROM alert_rules a WHERE a.id = ANY (:rule_ids)) r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold'
               THEN :thresholds::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
),
-- The series that rules cover, with the limits of the settings, and the inputs to read for them.
settings AS (
    SELECT key AS metric, CASE WHEN value ->> 'op' IN ('>', '>=') THEN 1 WHEN value ->> 'op' IS NOT NULL
           THEN -1 END AS sign,
           value ->> 'op' IN ('>', '<') AS is_strict, level_limits(value) AS limits
    FROM jsonb_each(:thresholds::jsonb)
),
-- For drafts, computed as alerts/evaluation/rule_series.py stores it for saved rules.
found AS MATERIALIZED (
    -- The series that each rule covers, and the inputs that it reads of each: one aggregate and, by kind of rule, a second
    -- input. A change also reads the window before, a ratio the other metric, a burn rate the short window, and an SQL
    -- rule the number of rows that it returned.
    SELECT r.id AS rule_id, r.series_id, r.kind,
           CASE WHEN r.agg LIKE 'p__' AND r.series_kind = 'distribution' THEN 'distributions'
                WHEN r.window_s % 60 <> 0 OR r.agg IN ('rate', 'p50', 'p90', 'p95', 'p99') THEN 'samples'
                WHEN r.agg IN ('first', 'last', 'stddev') THEN 'extended_aggregates'
                ELSE 'basic_aggregates' END AS source,
           array_position(ARRAY['avg', 'min', 'max', 'sum', 'count', 'first', 'last', 'stddev', 'rate',
               'p50', 'p90', 'p95', 'p99'], r.agg) AS aggregate,
           r.window_s,
           CASE WHEN r.kind IN ('ratio', 'sql') THEN o.id WHEN r.kind IN ('change', 'burn')
               THEN r.series_id END AS other_id,
           CASE r.kind WHEN 'burn' THEN r.short_window_s ELSE r.window_s END AS other_window_s,
           CASE r.kind WHEN 'change' THEN r.offset_s ELSE 0 END AS other_shift_s,
           r.is_relative, 1 - r.objective / 100 AS budget, d.sign, r.op IN ('>', '<') AS is_strict,
           coalesce(l.limits[1], l.limits[2], l.limits[3], l.limits[4]) * d.sign AS least_severe,
           CASE WHEN r.levels IS NULL AND r.kind = 'threshold' THEN r.metric END AS settings,
           'alert' IN (r.no_data, r.on_error) AS is_known
    FROM (
        SELECT
            -- The columns are named because the planner computes every column of each branch of a UNION, used or not.
            r.id, r.kind, r.metric, r.labels, r.over, r.agg, r.window_s, r.short_window_s, r.offset_s, r.op, r.limits, r.levels,
            r.is_relative, r.objective, r.no_data, r.on_error,
            s.id AS series_id, s.component AS of, s.labels AS series_labels, s.kind AS series_kind
        FROM (SELECT a.* FROM alert_rules a WHERE a.id = ANY (:rule_ids)) r
        JOIN series s ON s.metric = r.metric AND s.component = r.component
        WHERE r.enabled
        UNION ALL
        SELECT
            -- The columns are named because the planner computes every column of each branch of a UNION, used or not.
            r.id, r.kind, r.metric, r.labels, r.over, r.agg, r.window_s, r.short_window_s, r.offset_s, r.op, r.limits, r.levels,
            r.is_relative, r.objective, r.no_data, r.on_error,
            s.id, s.component, s.labels, s.kind
        FROM (SELECT a.* FROM alert_rules a WHERE a.id = ANY (:rule_ids)) r
        JOIN series s ON s.metric = r.metric
        WHERE r.enabled AND r.component IS NULL
    ) r
    LEFT JOIN series o
        ON r.kind IN ('ratio', 'sql')
       AND o.metric = CASE r.kind WHEN 'sql' THEN 'sql_rule_rows' ELSE r.over END
       AND o.component = CASE r.kind WHEN 'sql' THEN 'rules' ELSE r.of END
       AND o.labels = CASE r.kind WHEN 'sql' THEN jsonb_build_object('metric', r.metric) ELSE r.series_labels END
    CROSS JOIN LATERAL (SELECT CASE WHEN r.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign) d
    CROSS JOIN LATERAL (SELECT coalesce(r.limits, level_limits(r.levels)) AS limits) l
    -- A CASE, because the planner then expects many rows to match. For a plain @> it expects very few.
    WHERE CASE WHEN r.labels = '{}' THEN true ELSE r.series_labels @> r.labels END
), inputs AS MATERIALIZED (
    SELECT row_number() OVER ()::integer AS id, n.*
    FROM (
        -- The distinct inputs of all rules found.
        SELECT series_id, window_s, 0 AS shift_s, source
        FROM found
        UNION
        SELECT other_id, other_window_s, other_shift_s, source
        FROM found
        WHERE other_id IS NOT NULL
    ) n
), looked_at AS NOT MATERIALIZED (
    SELECT f.*, n.id AS input_id, o.id AS other_input_id
    FROM found f
    JOIN inputs n
        ON n.series_id = f.series_id AND n.window_s = f.window_s AND n.shift_s = 0 AND n.source = f.source
    LEFT JOIN inputs o
        ON o.series_id = f.other_id AND o.window_s = f.other_window_s AND o.shift_s = f.other_shift_s
            AND o.source = f.source
), covered AS NOT MATERIALIZED (
    SELECT t.rule_id, t.series_id, t.input_id, t.other_input_id, t.kind, t.aggregate,
           t.is_relative, t.budget, coalesce(d.sign, t.sign) AS sign, coalesce(d.is_strict, t.is_strict) AS is_strict,
           coalesce(coalesce(d.limits[1], d.limits[2], d.limits[3], d.limits[4]) * coalesce(d.sign, t.sign),
                    t.least_severe) AS least_severe, t.is_known
    FROM looked_at t
    LEFT JOIN settings d ON d.metric = t.settings
    LEFT JOIN series s ON s.id = t.series_id
    WHERE in_shard(t.rule_id, s.component, s.labels, :shard, :shards)
      AND true
), needed AS MATERIALIZED (
    SELECT n.id, n.series_id, n.source, make_interval(secs => n.window_s) AS length,
           make_interval(secs => n.shift_s) AS shift,
           :start::timestamptz - make_interval(secs => n.window_s + n.shift_s) AS start_at,
           :end::timestamptz - make_interval(secs => n.shift_s) AS end_at,
           coalesce(:start::timestamptz - make_interval(secs => n.window_s + n.shift_s)
                    >= :swept_from::timestamptz,
                    false) AS is_swept
    FROM inputs n
    WHERE :shards = 1 OR n.id IN (SELECT input_id FROM covered UNION ALL SELECT other_input_id FROM covered)
),
-- Each needed aggregate at each instant, in the order of `positions`. Basic and extended aggregates are separate,
-- because first, last and stddev cost as much as all others together, and few rules use them.
window_aggregates AS MATERIALIZED (
    -- Reads the 1m tier. A swept input, of one instant and a few minutes, is read in one scan over all series, which is
    -- fastest for many rules. Every other input is read by an index lookup of its series. A minute counts for every instant
    -- whose window contains it.
    SELECT m.input_id, m.at, ARRAY[sum(m.sum) / sum(m.count::double precision), min(m.min), max(m.max), sum(m.sum),
        sum(m.count::double precision)]::double precision[] AS aggregates
    FROM (
        SELECT n.id AS input_id, :start::timestamptz AS at, m.bucket, m.count, m.sum, m.min, m.max
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
        WHERE n.is_swept AND n.source = 'basic_aggregates'
          AND EXISTS (SELECT FROM needed WHERE is_swept AND source = 'basic_aggregates')
          AND m.bucket >= :swept_from::timestamptz AND m.bucket < :end::timestamptz
          AND m.bucket >= (SELECT min(start_at) FROM needed WHERE is_swept AND source = 'basic_aggregates')
        UNION ALL
        SELECT n.id, i.at, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.min, m.max
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
            OFFSET 0
        ) m
        -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
        CROSS JOIN LATERAL generate_series(
            greatest(m.bucket + interval '1 minute' + n.shift, :start::timestamptz),
            least(m.bucket + n.length + n.shift, :end::timestamptz), interval '1 minute'
        ) i (at)
        WHERE n.source = 'basic_aggregates' AND NOT n.is_swept
    ) m
    GROUP BY m.input_id, m.at
    UNION ALL
    -- Reads the 1m tier. A swept input, of one instant and a few minutes, is read in one scan over all series, which is
    -- fastest for many rules. Every other input is read by an index lookup of its series. A minute counts for every instant
    -- whose window contains it.
    SELECT m.input_id, m.at, array_fill(NULL::double precision, ARRAY[5]) || ARRAY[first(m.first, m.bucket), last(m.last, m.bucket),
            stddev_of((merge_moments(ARRAY[m.count::double precision, m.sum, m.m2]))[3], sum(m.count::double precision))]::double precision[] AS aggregates
    FROM (
        SELECT n.id AS input_id, :start::timestamptz AS at, m.bucket, m.count, m.sum, m.m2, m.first, m.last
        FROM system_metrics_1m m
        JOIN needed n ON n.series_id = m.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
        WHERE n.is_swept AND n.source = 'extended_aggregates'
          AND EXISTS (SELECT FROM needed WHERE is_swept AND source = 'extended_aggregates')
          AND m.bucket >= :swept_from::timestamptz AND m.bucket < :end::timestamptz
          AND m.bucket >= (SELECT min(start_at) FROM needed WHERE is_swept AND source = 'extended_aggregates')
        UNION ALL
        SELECT n.id, i.at, m.*
        FROM needed n
        CROSS JOIN LATERAL (
            SELECT m.bucket, m.count, m.sum, m.m2, m.first, m.last
            FROM system_metrics_1m m
            WHERE m.series_id = n.series_id AND m.bucket >= n.start_at AND m.bucket < n.end_at
            OFFSET 0
        ) m
        -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
        CROSS JOIN LATERAL generate_series(
            greatest(m.bucket + interval '1 minute' + n.shift, :start::timestamptz),
            least(m.bucket + n.length + n.shift, :end::timestamptz), interval '1 minute'
        ) i (at)
        WHERE n.source = 'extended_aggregates' AND NOT n.is_swept
    ) m
    GROUP BY m.input_id, m.at
    UNION ALL
    SELECT n.id, i.at,
           ARRAY[avg(m.value), min(m.value), max(m.value), sum(m.value), count(*)::double precision,
                 first(m.value, m.time), last(m.value, m.time), stddev_pop(m.value),
                 (last(m.value, m.time) - first(m.value, m.time) + counter_resets(array_agg(m.value ORDER BY m.time)))
                 / nullif(extract(epoch FROM max(m.time) - min(m.time)), 0)::double precision
           ] || percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY m.value)
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.value
        FROM system_metrics m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, :start::timestamptz),
        least(m.time + n.length + n.shift, :end::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'samples'
    GROUP BY n.id, i.at
    UNION ALL
    SELECT n.id, i.at,
           array_fill(NULL::double precision, ARRAY[9])
           || percentile(0.5, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.9, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.95, array_agg(m.log_bucket), array_agg(m.count))
           || percentile(0.99, array_agg(m.log_bucket), array_agg(m.count))
    FROM needed n
    CROSS JOIN LATERAL (
        SELECT m.time, m.log_bucket, m.count
        FROM system_distributions m
        WHERE m.series_id = n.series_id
          AND m.time >= n.start_at AND m.time < n.end_at
        OFFSET 0
    ) m
    -- Each instant whose window contains a row: from the end of its minute on, for the length of the window.
    CROSS JOIN LATERAL generate_series(
        greatest(date_trunc('minute', m.time) + interval '1 minute' + n.shift, :start::timestamptz),
        least(m.time + n.length + n.shift, :end::timestamptz), interval '1 minute'
    ) i (at)
    WHERE n.source = 'distributions'
    GROUP BY n.id, i.at
),
-- For each rule, series and instant: the value, the rank of the most severe breached limit, and a bit for each level
-- whose recovery limit is not passed (see state_machine.sql).
measured AS MATERIALIZED (
    SELECT found.rule_id, found.series_id, found.at, found.value, found.is_unanswered
    FROM (
        SELECT c.*, instant.at, c.kind = 'sql' AND other.aggregates IS NULL AS is_unanswered,
               nullif(CASE c.kind
                   WHEN 'change' THEN (now.aggregates[c.aggregate] - other.aggregates[c.aggregate])
                       * CASE WHEN c.is_relative THEN 100 / nullif(abs(other.aggregates[c.aggregate]), 0) ELSE 1 END
                   WHEN 'ratio' THEN now.aggregates[c.aggregate] / nullif(other.aggregates[c.aggregate], 0)
                   WHEN 'burn' THEN CASE WHEN other.aggregates IS NOT NULL THEN
                       (1 - greatest(now.aggregates[c.aggregate], other.aggregates[c.aggregate])) / c.budget END
                   ELSE now.aggregates[c.aggregate]
               END, 'NaN') AS value
        FROM covered c
        -- generate_series over integers: for one over timestamps the planner always expects 1,000 rows.
        CROSS JOIN (
            SELECT :start::timestamptz + number * interval '1 minute' AS at
            FROM generate_series(0, :minutes::integer) minute (number)
            OFFSET 0
        ) instant
        LEFT JOIN window_aggregates now ON now.input_id = c.input_id AND now.at = instant.at
        LEFT JOIN window_aggregates other ON other.input_id = c.other_input_id AND other.at = instant.at
        OFFSET 0
    ) found
    CROSS JOIN LATERAL (
        SELECT found.value * found.sign > found.least_severe
               OR NOT found.is_strict AND found.value * found.sign = found.least_severe AS is_breached
    ) mildest
    WHERE true
), breaches AS MATERIALIZED (
    SELECT m.rule_id, s.component, s.labels, m.at, m.value,
           CASE WHEN m.value IS NOT NULL THEN 'value'
                WHEN m.is_unanswered THEN 'unanswered'
                ELSE 'missing' END AS status,
           CASE WHEN l.measure > l.enters[4] OR NOT r.is_strict AND l.measure = l.enters[4] THEN 4
                WHEN l.measure > l.enters[3] OR NOT r.is_strict AND l.measure = l.enters[3] THEN 3
                WHEN l.measure > l.enters[2] OR NOT r.is_strict AND l.measure = l.enters[2] THEN 2
                WHEN l.measure > l.enters[1] OR NOT r.is_strict AND l.measure = l.enters[1] THEN 1
                ELSE 0 END AS breached_rank,
           CASE WHEN l.measure > l.leaves[4] OR NOT r.is_strict AND l.measure = l.leaves[4] THEN 8 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[3] OR NOT r.is_strict AND l.measure = l.leaves[3] THEN 4 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[2] OR NOT r.is_strict AND l.measure = l.leaves[2] THEN 2 ELSE 0 END
           + CASE WHEN l.measure > l.leaves[1] OR NOT r.is_strict AND l.measure = l.leaves[1] THEN 1 ELSE 0 END
           AS retained_bits
    FROM measured m
    JOIN series s ON s.id = m.series_id
    JOIN rules r ON r.id = m.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM measured))
    CROSS JOIN LATERAL (
        SELECT m.value * r.sign AS measure,
               ARRAY[r.limits[1] * r.sign, r.limits[2] * r.sign, r.limits[3] * r.sign, r.limits[4] * r.sign] AS enters,
               ARRAY[coalesce(r.leaves[1], r.limits[1]) * r.sign, coalesce(r.leaves[2], r.limits[2]) * r.sign,
                     coalesce(r.leaves[3], r.limits[3]) * r.sign, coalesce(r.leaves[4], r.limits[4]) * r.sign] AS leaves
        OFFSET 0
    ) l
),
-- The state machine applied to every instance that has a state row or breaches a limit.
evaluated AS MATERIALIZED (
    SELECT before.rule_id, before.component, before.labels, before.value, before.alert_id, before.was, after.*
    FROM (
        SELECT coalesce(breach.rule_id, state.rule_id) AS rule_id,
               coalesce(breach.component, state.component) AS component,
               coalesce(breach.labels, state.labels) AS labels, breach.value,
               coalesce(breach.breached_rank, 0) AS breached_rank, coalesce(breach.retained_bits, 0) AS retained_bits,
               -- A composite returns no row for instances that are clear.
               coalesce(breach.status, CASE WHEN rule.error IS NOT NULL THEN 'error'
                                            WHEN rule.kind = 'composite' THEN 'value' END) AS status,
               :end::timestamptz AS at, :last_at::timestamptz AS last_at, state.alert_id,
               state.rule_id IS NOT NULL AS is_known, coalesce(state.phase, 'ok') AS phase,
               state.since, state.clear_since, state.missing_since,
               coalesce(state.value_rank, 0) AS value_rank, coalesce(state.floor_rank, 0) AS floor_rank,
               state.raised_at, coalesce(state.acknowledged, false) AS acknowledged,
               coalesce(state.opens, '{}') AS opens, coalesce(state.is_flapping, false) AS is_flapping,
               rule.no_data, rule.on_error, rule.no_data_rank, rule.wait_for, rule.keep_for, rule.escalate_after,
               rule.flap_count, rule.flap_window,
               CASE WHEN state.rule_id IS NOT NULL THEN
                   ROW(state.phase, state.since, state.clear_since, state.missing_since, state.value_rank,
                       state.floor_rank, state.raised_at, state.acknowledged, state.opens, state.is_flapping)
                   END AS was
        FROM breaches breach
        FULL JOIN (
            SELECT * FROM alert_states WHERE rule_id = ANY (:rule_ids) AND in_shard(rule_id, component, labels, :shard, :shards)
        ) state
            ON state.rule_id = breach.rule_id AND state.component = breach.component AND state.labels = breach.labels
        LEFT JOIN rules rule ON rule.id = coalesce(breach.rule_id, state.rule_id)
            AND rule.id = ANY (ARRAY(SELECT rule_id FROM breaches UNION SELECT rule_id FROM alert_states))
        WHERE (state.rule_id IS NOT NULL OR breach.breached_rank > 0 OR rule.remembers AND breach.status = 'value')
          -- Skip instances that stay clear and whose state row would not change.
          AND (rule.remembers AND breach.status = 'value' AND breach.breached_rank = 0 AND state.phase = 'ok'
               AND state.missing_since IS NULL AND state.opens = '{}') IS NOT TRUE
    ) before
    -- One minute of the state machine of an alert, from `before` to `after`. docs/reference/alerts.md shows it as a table.
    --
    -- `before` has one row for each instance (a rule and a series, or for composites a component). It holds the stored
    -- state (phase, since, clear_since, ...), the measurement of this minute (status, value, breached_rank, retained_bits),
    -- the settings of the rule (wait_for, keep_for, ...), this minute (`at`) and the minute evaluated before it
    -- (`last_at`). The rank of a level is its position in alert_levels(): 1 info to 4 emergency; 0 is none.
    -- `breached_rank` is the rank of the most severe breached limit. `retained_bits` has a bit for each level whose
    -- recovery limit is not passed yet: 1 info, 2 warning, 4 critical, 8 emergency.
    --
    --  1. gap        Find an evaluation gap before this minute. It counts toward neither `for` nor `keep_firing_for`.
    --  2. timers     Move the start of pending, clear and missing by the length of the gap. Restart them after a long gap.
    --  3. policy     Choose the reading: the value or, without one, what `no_data` or `on_error` of the rule says.
    --  4. reading    Take ranks and bits from that reading, and the time without a value, which does not count either.
    --  5. retained   Find the most severe level that the alert reached and has not left.
    --  6. due        Find the rank of this minute (0 is clear), and the timers that count for it.
    --  7. entered    Find the new phase.
    --  8. change     Find whether the alert opens or is clear, and the rank of its value.
    --  9. escalated  Find the rank that escalation by time guarantees, and the times at which the alert opened.
    -- 10. shown      Find the rank and the flapping that people see.
    -- 11. after      Compose the new state, the transition and its reason.
    --
    -- OFFSET 0 keeps the planner from inlining the steps: inlined, each expression would be computed many times.
    
    -- 1. gap
    CROSS JOIN LATERAL (
        SELECT coalesce(before.at - before.last_at > interval '2 minutes', false) AS is_gap,
               coalesce(before.at - before.last_at > make_interval(secs => :tolerance_s), false) AS is_lost,
               coalesce(before.missing_since, before.last_at) AS seen_to,
               make_interval(secs => :grace_s) AS grace
    ) gap
    
    -- 2. timers
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase <> 'pending' OR NOT gap.is_gap THEN before.since
                    WHEN gap.is_lost OR before.wait_for < gap.grace THEN before.at
                    WHEN before.wait_for - (gap.seen_to - before.since) > interval '0'
                     AND before.wait_for - (gap.seen_to - before.since) < gap.grace
                    THEN before.at + gap.grace - before.wait_for
                    ELSE before.since + (before.at - gap.seen_to) END AS since,
               CASE WHEN before.clear_since IS NULL OR NOT gap.is_gap THEN before.clear_since
                    WHEN gap.is_lost THEN before.at
                    ELSE before.clear_since + (before.at - gap.seen_to) END AS clear_since,
               CASE WHEN before.missing_since IS NOT NULL AND gap.is_gap THEN before.at
                    ELSE before.missing_since END AS missing_since
        OFFSET 0
    ) timers
    
    -- 3. policy: a rule with no_data = 'alert' keeps its state until it has seen a first value.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.status IS NULL THEN 'gone'
                    WHEN before.status = 'value' THEN 'value'
                    WHEN before.status = 'error' THEN before.on_error
                    WHEN before.status = 'unanswered' THEN 'keep'
                    WHEN before.no_data = 'alert' AND NOT before.is_known THEN 'keep'
                    ELSE before.no_data END AS reading
    ) policy
    
    -- 4. reading: the mask limits `retained_bits` to levels that the value has reached.
    CROSS JOIN LATERAL (
        SELECT policy.reading = 'keep' AS is_kept,
               CASE policy.reading WHEN 'value' THEN before.breached_rank
                                   WHEN 'alert' THEN before.no_data_rank ELSE 0 END AS breached_rank,
               CASE policy.reading WHEN 'value' THEN before.retained_bits WHEN 'alert' THEN 15 ELSE 0 END
                   & ((1 << before.value_rank) - 1) AS retained_bits,
               CASE WHEN policy.reading = 'keep' THEN interval '0'
                    ELSE coalesce(before.at - timers.missing_since, interval '0') END AS unseen_for
    ) reading
    
    -- 5. retained
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.retained_bits >= 8 THEN 4
                    WHEN reading.retained_bits >= 4 THEN 3
                    WHEN reading.retained_bits >= 2 THEN 2
                    ELSE reading.retained_bits END AS rank
    ) retained
    
    -- 6. due
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase = 'pending' THEN least(timers.since + reading.unseen_for, before.at)
                    ELSE before.since END AS since,
               least(timers.clear_since + reading.unseen_for, before.at) AS clear_since,
               CASE WHEN before.phase = 'firing' THEN greatest(reading.breached_rank, retained.rank)
                    ELSE reading.breached_rank END AS rank,
               CASE WHEN before.is_flapping THEN greatest(before.keep_for, before.flap_window)
                    ELSE before.keep_for END AS keep_for
        OFFSET 0
    ) due
    
    -- 7. entered
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.is_kept THEN before.phase
                    WHEN policy.reading = 'gone' THEN 'ok'
                    WHEN before.phase = 'firing' THEN
                        CASE WHEN due.rank = 0 AND before.at - coalesce(due.clear_since, before.at) >= due.keep_for
                            THEN 'ok'
                             ELSE 'firing' END
                    WHEN due.rank = 0 THEN 'ok'
                    WHEN before.at - CASE WHEN before.phase = 'pending' THEN due.since ELSE before.at END >= before.wait_for
                    THEN 'firing'
                    ELSE 'pending' END AS phase
        OFFSET 0
    ) entered
    
    -- 8. change
    CROSS JOIN LATERAL (
        SELECT entered.phase = 'firing' AND before.phase <> 'firing' AS is_opening,
               entered.phase = 'firing' AND NOT reading.is_kept AND due.rank = 0 AS is_clear,
               CASE WHEN entered.phase <> 'firing' THEN 0
                    WHEN reading.is_kept OR due.rank = 0 THEN before.value_rank
                    ELSE due.rank END AS value_rank,
               greatest(before.value_rank, before.floor_rank) AS old_rank
        OFFSET 0
    ) change
    
    -- 9. escalated: one rank for each `escalate_after` that passes without an acknowledgement, up to the highest.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN entered.phase <> 'firing' OR change.is_opening THEN 0
                    WHEN before.escalate_after IS NOT NULL AND NOT before.acknowledged
                     AND NOT reading.is_kept AND NOT change.is_clear
                     AND change.value_rank <= change.old_rank AND greatest(change.value_rank, before.floor_rank) < 4
                     AND before.at - before.raised_at >= before.escalate_after
                    THEN greatest(change.value_rank, before.floor_rank) + 1
                    ELSE before.floor_rank END AS floor_rank,
               CASE WHEN change.is_opening AND before.flap_count > 0
                    THEN (before.opens || before.at)[greatest(1, cardinality(before.opens) + 2 - before.flap_count):]
                    ELSE before.opens END AS opens
        OFFSET 0
    ) escalated
    
    -- 10. shown
    CROSS JOIN LATERAL (
        SELECT greatest(change.value_rank, escalated.floor_rank) AS rank,
               CASE WHEN change.is_opening
                    THEN before.flap_count > 0 AND cardinality(escalated.opens) >= before.flap_count
                         AND escalated.opens[1] > before.at - before.flap_window
                    ELSE before.is_flapping AND entered.phase = 'firing' END AS is_flapping
    ) shown
    
    -- 11. after
    CROSS JOIN LATERAL (
        SELECT entered.phase,
               CASE WHEN entered.phase = 'ok' THEN NULL
                    WHEN entered.phase <> before.phase AND (change.is_opening OR before.phase = 'ok') THEN before.at
                    ELSE due.since END AS since,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN reading.is_kept THEN timers.clear_since
                    WHEN change.is_clear THEN coalesce(due.clear_since, before.at) END AS clear_since,
               CASE WHEN reading.is_kept AND entered.phase <> 'ok'
                    THEN coalesce(timers.missing_since, CASE WHEN NOT gap.is_gap THEN before.last_at END, before.at)
                    END AS missing_since,
               change.value_rank, escalated.floor_rank,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN change.is_opening OR shown.rank > change.old_rank THEN before.at
                    ELSE before.raised_at END AS raised_at,
               before.acknowledged AND entered.phase = 'firing' AS acknowledged,
               escalated.opens, shown.is_flapping, shown.rank,
               CASE WHEN change.is_opening THEN 'opened'
                    WHEN before.phase = 'firing' AND entered.phase = 'ok' THEN 'resolved'
                    WHEN entered.phase = 'firing' AND shown.rank > change.old_rank THEN 'escalated'
                    WHEN entered.phase = 'firing' AND shown.rank < change.old_rank THEN 'lowered' END AS transition,
               CASE WHEN policy.reading = 'gone' THEN 'the rule no longer looks at it'
                    WHEN escalated.floor_rank > before.floor_rank THEN 'nobody acknowledged it'
                    WHEN before.status = 'missing' THEN 'no data'
                    WHEN before.status = 'error' THEN 'the rule cannot be evaluated'
                    WHEN change.is_opening AND shown.is_flapping THEN 'it flaps'
                    ELSE '' END AS reason,
               -- Whether the state row is kept. A clear instance has none, unless its past openings or the fact that it
               -- was seen matter.
               entered.phase <> 'ok' OR policy.reading <> 'gone' AND (
                   cardinality(escalated.opens) > 0
                   OR 'alert' IN (before.no_data, before.on_error) AND (before.is_known OR before.status = 'value')
               ) AS is_known
    ) after
),
-- State changes of this minute, and the alert text of each. If there are more than `at_most`, apply none.
turned AS MATERIALIZED (
    SELECT *
    FROM evaluated
    WHERE transition IS NOT NULL OR NOT is_known
       OR ROW(phase, since, clear_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE :at_most::integer IS NULL OR (SELECT count(*) FROM turned) <= :at_most
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.transition, j.reason, j.is_flapping, j.value,
           CASE WHEN j.transition <> 'resolved' THEN (alert_levels())[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN subject_of(j.component, j.labels) || ' is down'
                WHEN r.metric = 'host_silent_seconds'
                THEN coalesce(j.labels ->> 'host', j.component) || ' stopped sending'
                ELSE concat_ws(': ', nullif(subject_of(j.component, j.labels), ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ',
               'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                WHEN r.metric = 'host_silent_seconds' THEN coalesce(nullif(st.reason, ''), 'no sample arrives')
                ELSE breach_message(
                    CASE r.kind WHEN 'burn' THEN 'Burn rate of the error budget'
                                ELSE metric_title(r.metric) || labels_in_brackets(j.labels) END
                    || CASE r.kind WHEN 'change' THEN ' changed by'
                                   WHEN 'ratio' THEN ' per ' || metric_title(r.over) || ' at' ELSE ' at' END,
                    j.value, u.unit, r.op, coalesce(r.limits[j.rank], r.limits[j.value_rank]))
                    || CASE WHEN r.kind IN ('burn', 'sql') THEN ''
                            ELSE ', ' || aggregate_text(r.agg, r.window_s) END END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') OR r.agg = 'count' THEN NULL
                    WHEN r.is_relative THEN 'percent' ELSE s.unit END AS unit
    ) u
    WHERE j.transition IS NOT NULL
)
SELECT count(m) FROM moving m;

-- PROBE_COMPOSITES
-- Evaluates some rules, alert texts included, without storing anything. Only an error is of interest; the whole row is
-- counted so that the planner cannot drop any expression.
WITH
-- The rules with their settings as numbers. `sign` is -1 if smaller is worse: a value times `sign` is worse if larger.
rules AS NOT MATERIALIZED (
    SELECT r.id, r.name, r.kind, r.metric, r.component, r.category, r.agg, r.window_s, r.over, r.is_relative,
           d.op, CASE WHEN d.op IN ('>', '>=') THEN 1 ELSE -1 END AS sign, d.op IN ('>', '<') AS is_strict,
           d.limits, coalesce(r.recoveries, level_limits(r.recovery)) AS leaves,
           make_interval(secs => r.for_s) AS wait_for, make_interval(secs => r.keep_firing_for_s) AS keep_for,
           make_interval(secs => r.escalate_after_s) AS escalate_after,
           r.flap_count, make_interval(secs => r.flap_window_s) AS flap_window,
           r.no_data, r.on_error, NULL::text AS error, 'alert' IN (r.no_data, r.on_error) AS remembers,
           array_position(alert_levels(), r.no_data_level) AS no_data_rank,
           r.all_of, r.any_of, r.none_of, r.by_component,
           array_position(alert_levels(), r.level) AS level_rank
    FROM (SELECT a.* FROM alert_rules a WHERE a.id = ANY (:rule_ids)) r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.levels IS NULL AND r.kind = 'threshold'
               THEN :thresholds::jsonb -> r.metric END AS settings
    ) t
    CROSS JOIN LATERAL (
        SELECT coalesce(t.settings ->> 'op', r.op) AS op,
               coalesce(r.limits, level_limits(coalesce(r.levels, t.settings))) AS limits
    ) d
    WHERE r.enabled
),
-- The result of each composite at each instant, over all components together or for each component by itself. A
-- composite fires if all of `all_of`, at least one of `any_of` (if given) and none of `none_of` fire.
members AS MATERIALIZED (
    SELECT r.id AS rule_id, m.role, m.name
    FROM rules r
    CROSS JOIN LATERAL (
        SELECT 'all' AS role, unnest(r.all_of) AS name
        UNION ALL
        SELECT 'any', unnest(r.any_of)
        UNION ALL
        SELECT 'none', unnest(r.none_of)
    ) m
    WHERE r.kind = 'composite' AND r.error IS NULL
),
spans AS MATERIALIZED (
    SELECT r.name, s.component, greatest(s.value_rank, s.floor_rank) AS rank,
           '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    FROM alert_states s
    JOIN alert_rules r ON r.id = s.rule_id
    WHERE s.phase = 'firing' AND r.name IN (SELECT name FROM members)
), fires AS MATERIALIZED (
    SELECT m.rule_id, CASE WHEN r.by_component THEN f.component ELSE coalesce(r.component, '') END AS component,
           i.at, m.role, m.name, max(f.rank) AS rank
    FROM members m
    JOIN rules r ON r.id = m.rule_id
    JOIN spans f ON f.name = m.name AND (r.component IS NULL OR f.component = r.component)
    CROSS JOIN generate_series(0, :minutes::integer) minute (number)
    CROSS JOIN LATERAL (SELECT :start::timestamptz + minute.number * interval '1 minute' AS at) i
    WHERE i.at >= f.since AND i.at < f.until
    GROUP BY m.rule_id, 2, i.at, m.role, m.name
), breaches AS MATERIALIZED (
    SELECT t.rule_id, t.component, '{}'::jsonb AS labels, t.at, t.value, 'value' AS status,
           CASE WHEN t.is_met THEN coalesce(r.level_rank, t.rank) ELSE 0 END AS breached_rank,
           CASE WHEN t.is_met THEN (1 << coalesce(r.level_rank, t.rank)) - 1 ELSE 0 END AS retained_bits
    FROM (
        SELECT k.rule_id, k.component, i.at, max(f.rank) FILTER (WHERE f.role <> 'none') AS rank,
               nullif(count(*) FILTER (WHERE f.role <> 'none'), 0)::double precision AS value,
               count(*) FILTER (WHERE f.role = 'all') = cardinality(min(r.all_of))
               AND (min(r.any_of) = '{}' OR count(*) FILTER (WHERE f.role = 'any') > 0)
               AND count(*) FILTER (WHERE f.role = 'none') = 0 AS is_met
        FROM (
            SELECT rule_id, component FROM fires WHERE role <> 'none'
            UNION
            SELECT rule_id, component FROM alert_states WHERE false
        ) k
        JOIN rules r ON r.id = k.rule_id
        CROSS JOIN generate_series(0, :minutes::integer) minute (number)
        CROSS JOIN LATERAL (SELECT :start::timestamptz + minute.number * interval '1 minute' AS at) i
        LEFT JOIN fires f ON f.rule_id = k.rule_id AND f.component = k.component AND f.at = i.at
        GROUP BY k.rule_id, k.component, i.at
    ) t
    JOIN rules r ON r.id = t.rule_id
),
-- The state machine applied to every instance that has a state row or breaches a limit.
evaluated AS MATERIALIZED (
    SELECT before.rule_id, before.component, before.labels, before.value, before.alert_id, before.was, after.*
    FROM (
        SELECT coalesce(breach.rule_id, state.rule_id) AS rule_id,
               coalesce(breach.component, state.component) AS component,
               coalesce(breach.labels, state.labels) AS labels, breach.value,
               coalesce(breach.breached_rank, 0) AS breached_rank, coalesce(breach.retained_bits, 0) AS retained_bits,
               -- A composite returns no row for instances that are clear.
               coalesce(breach.status, CASE WHEN rule.error IS NOT NULL THEN 'error'
                                            WHEN rule.kind = 'composite' THEN 'value' END) AS status,
               :end::timestamptz AS at, :last_at::timestamptz AS last_at, state.alert_id,
               state.rule_id IS NOT NULL AS is_known, coalesce(state.phase, 'ok') AS phase,
               state.since, state.clear_since, state.missing_since,
               coalesce(state.value_rank, 0) AS value_rank, coalesce(state.floor_rank, 0) AS floor_rank,
               state.raised_at, coalesce(state.acknowledged, false) AS acknowledged,
               coalesce(state.opens, '{}') AS opens, coalesce(state.is_flapping, false) AS is_flapping,
               rule.no_data, rule.on_error, rule.no_data_rank, rule.wait_for, rule.keep_for, rule.escalate_after,
               rule.flap_count, rule.flap_window,
               CASE WHEN state.rule_id IS NOT NULL THEN
                   ROW(state.phase, state.since, state.clear_since, state.missing_since, state.value_rank,
                       state.floor_rank, state.raised_at, state.acknowledged, state.opens, state.is_flapping)
                   END AS was
        FROM breaches breach
        FULL JOIN (
            SELECT * FROM alert_states WHERE rule_id = ANY (:rule_ids) AND in_shard(rule_id, component, labels, :shard, :shards)
        ) state
            ON state.rule_id = breach.rule_id AND state.component = breach.component AND state.labels = breach.labels
        LEFT JOIN rules rule ON rule.id = coalesce(breach.rule_id, state.rule_id)
            AND rule.id = ANY (ARRAY(SELECT rule_id FROM breaches UNION SELECT rule_id FROM alert_states))
        WHERE (state.rule_id IS NOT NULL OR breach.breached_rank > 0 OR rule.remembers AND breach.status = 'value')
          -- Skip instances that stay clear and whose state row would not change.
          AND (rule.remembers AND breach.status = 'value' AND breach.breached_rank = 0 AND state.phase = 'ok'
               AND state.missing_since IS NULL AND state.opens = '{}') IS NOT TRUE
    ) before
    -- One minute of the state machine of an alert, from `before` to `after`. docs/reference/alerts.md shows it as a table.
    --
    -- `before` has one row for each instance (a rule and a series, or for composites a component). It holds the stored
    -- state (phase, since, clear_since, ...), the measurement of this minute (status, value, breached_rank, retained_bits),
    -- the settings of the rule (wait_for, keep_for, ...), this minute (`at`) and the minute evaluated before it
    -- (`last_at`). The rank of a level is its position in alert_levels(): 1 info to 4 emergency; 0 is none.
    -- `breached_rank` is the rank of the most severe breached limit. `retained_bits` has a bit for each level whose
    -- recovery limit is not passed yet: 1 info, 2 warning, 4 critical, 8 emergency.
    --
    --  1. gap        Find an evaluation gap before this minute. It counts toward neither `for` nor `keep_firing_for`.
    --  2. timers     Move the start of pending, clear and missing by the length of the gap. Restart them after a long gap.
    --  3. policy     Choose the reading: the value or, without one, what `no_data` or `on_error` of the rule says.
    --  4. reading    Take ranks and bits from that reading, and the time without a value, which does not count either.
    --  5. retained   Find the most severe level that the alert reached and has not left.
    --  6. due        Find the rank of this minute (0 is clear), and the timers that count for it.
    --  7. entered    Find the new phase.
    --  8. change     Find whether the alert opens or is clear, and the rank of its value.
    --  9. escalated  Find the rank that escalation by time guarantees, and the times at which the alert opened.
    -- 10. shown      Find the rank and the flapping that people see.
    -- 11. after      Compose the new state, the transition and its reason.
    --
    -- OFFSET 0 keeps the planner from inlining the steps: inlined, each expression would be computed many times.
    
    -- 1. gap
    CROSS JOIN LATERAL (
        SELECT coalesce(before.at - before.last_at > interval '2 minutes', false) AS is_gap,
               coalesce(before.at - before.last_at > make_interval(secs => :tolerance_s), false) AS is_lost,
               coalesce(before.missing_since, before.last_at) AS seen_to,
               make_interval(secs => :grace_s) AS grace
    ) gap
    
    -- 2. timers
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase <> 'pending' OR NOT gap.is_gap THEN before.since
                    WHEN gap.is_lost OR before.wait_for < gap.grace THEN before.at
                    WHEN before.wait_for - (gap.seen_to - before.since) > interval '0'
                     AND before.wait_for - (gap.seen_to - before.since) < gap.grace
                    THEN before.at + gap.grace - before.wait_for
                    ELSE before.since + (before.at - gap.seen_to) END AS since,
               CASE WHEN before.clear_since IS NULL OR NOT gap.is_gap THEN before.clear_since
                    WHEN gap.is_lost THEN before.at
                    ELSE before.clear_since + (before.at - gap.seen_to) END AS clear_since,
               CASE WHEN before.missing_since IS NOT NULL AND gap.is_gap THEN before.at
                    ELSE before.missing_since END AS missing_since
        OFFSET 0
    ) timers
    
    -- 3. policy: a rule with no_data = 'alert' keeps its state until it has seen a first value.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.status IS NULL THEN 'gone'
                    WHEN before.status = 'value' THEN 'value'
                    WHEN before.status = 'error' THEN before.on_error
                    WHEN before.status = 'unanswered' THEN 'keep'
                    WHEN before.no_data = 'alert' AND NOT before.is_known THEN 'keep'
                    ELSE before.no_data END AS reading
    ) policy
    
    -- 4. reading: the mask limits `retained_bits` to levels that the value has reached.
    CROSS JOIN LATERAL (
        SELECT policy.reading = 'keep' AS is_kept,
               CASE policy.reading WHEN 'value' THEN before.breached_rank
                                   WHEN 'alert' THEN before.no_data_rank ELSE 0 END AS breached_rank,
               CASE policy.reading WHEN 'value' THEN before.retained_bits WHEN 'alert' THEN 15 ELSE 0 END
                   & ((1 << before.value_rank) - 1) AS retained_bits,
               CASE WHEN policy.reading = 'keep' THEN interval '0'
                    ELSE coalesce(before.at - timers.missing_since, interval '0') END AS unseen_for
    ) reading
    
    -- 5. retained
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.retained_bits >= 8 THEN 4
                    WHEN reading.retained_bits >= 4 THEN 3
                    WHEN reading.retained_bits >= 2 THEN 2
                    ELSE reading.retained_bits END AS rank
    ) retained
    
    -- 6. due
    CROSS JOIN LATERAL (
        SELECT CASE WHEN before.phase = 'pending' THEN least(timers.since + reading.unseen_for, before.at)
                    ELSE before.since END AS since,
               least(timers.clear_since + reading.unseen_for, before.at) AS clear_since,
               CASE WHEN before.phase = 'firing' THEN greatest(reading.breached_rank, retained.rank)
                    ELSE reading.breached_rank END AS rank,
               CASE WHEN before.is_flapping THEN greatest(before.keep_for, before.flap_window)
                    ELSE before.keep_for END AS keep_for
        OFFSET 0
    ) due
    
    -- 7. entered
    CROSS JOIN LATERAL (
        SELECT CASE WHEN reading.is_kept THEN before.phase
                    WHEN policy.reading = 'gone' THEN 'ok'
                    WHEN before.phase = 'firing' THEN
                        CASE WHEN due.rank = 0 AND before.at - coalesce(due.clear_since, before.at) >= due.keep_for
                            THEN 'ok'
                             ELSE 'firing' END
                    WHEN due.rank = 0 THEN 'ok'
                    WHEN before.at - CASE WHEN before.phase = 'pending' THEN due.since ELSE before.at END >= before.wait_for
                    THEN 'firing'
                    ELSE 'pending' END AS phase
        OFFSET 0
    ) entered
    
    -- 8. change
    CROSS JOIN LATERAL (
        SELECT entered.phase = 'firing' AND before.phase <> 'firing' AS is_opening,
               entered.phase = 'firing' AND NOT reading.is_kept AND due.rank = 0 AS is_clear,
               CASE WHEN entered.phase <> 'firing' THEN 0
                    WHEN reading.is_kept OR due.rank = 0 THEN before.value_rank
                    ELSE due.rank END AS value_rank,
               greatest(before.value_rank, before.floor_rank) AS old_rank
        OFFSET 0
    ) change
    
    -- 9. escalated: one rank for each `escalate_after` that passes without an acknowledgement, up to the highest.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN entered.phase <> 'firing' OR change.is_opening THEN 0
                    WHEN before.escalate_after IS NOT NULL AND NOT before.acknowledged
                     AND NOT reading.is_kept AND NOT change.is_clear
                     AND change.value_rank <= change.old_rank AND greatest(change.value_rank, before.floor_rank) < 4
                     AND before.at - before.raised_at >= before.escalate_after
                    THEN greatest(change.value_rank, before.floor_rank) + 1
                    ELSE before.floor_rank END AS floor_rank,
               CASE WHEN change.is_opening AND before.flap_count > 0
                    THEN (before.opens || before.at)[greatest(1, cardinality(before.opens) + 2 - before.flap_count):]
                    ELSE before.opens END AS opens
        OFFSET 0
    ) escalated
    
    -- 10. shown
    CROSS JOIN LATERAL (
        SELECT greatest(change.value_rank, escalated.floor_rank) AS rank,
               CASE WHEN change.is_opening
                    THEN before.flap_count > 0 AND cardinality(escalated.opens) >= before.flap_count
                         AND escalated.opens[1] > before.at - before.flap_window
                    ELSE before.is_flapping AND entered.phase = 'firing' END AS is_flapping
    ) shown
    
    -- 11. after
    CROSS JOIN LATERAL (
        SELECT entered.phase,
               CASE WHEN entered.phase = 'ok' THEN NULL
                    WHEN entered.phase <> before.phase AND (change.is_opening OR before.phase = 'ok') THEN before.at
                    ELSE due.since END AS since,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN reading.is_kept THEN timers.clear_since
                    WHEN change.is_clear THEN coalesce(due.clear_since, before.at) END AS clear_since,
               CASE WHEN reading.is_kept AND entered.phase <> 'ok'
                    THEN coalesce(timers.missing_since, CASE WHEN NOT gap.is_gap THEN before.last_at END, before.at)
                    END AS missing_since,
               change.value_rank, escalated.floor_rank,
               CASE WHEN entered.phase <> 'firing' THEN NULL
                    WHEN change.is_opening OR shown.rank > change.old_rank THEN before.at
                    ELSE before.raised_at END AS raised_at,
               before.acknowledged AND entered.phase = 'firing' AS acknowledged,
               escalated.opens, shown.is_flapping, shown.rank,
               CASE WHEN change.is_opening THEN 'opened'
                    WHEN before.phase = 'firing' AND entered.phase = 'ok' THEN 'resolved'
                    WHEN entered.phase = 'firing' AND shown.rank > change.old_rank THEN 'escalated'
                    WHEN entered.phase = 'firing' AND shown.rank < change.old_rank THEN 'lowered' END AS transition,
               CASE WHEN policy.reading = 'gone' THEN 'the rule no longer looks at it'
                    WHEN escalated.floor_rank > before.floor_rank THEN 'nobody acknowledged it'
                    WHEN before.status = 'missing' THEN 'no data'
                    WHEN before.status = 'error' THEN 'the rule cannot be evaluated'
                    WHEN change.is_opening AND shown.is_flapping THEN 'it flaps'
                    ELSE '' END AS reason,
               -- Whether the state row is kept. A clear instance has none, unless its past openings or the fact that it
               -- was seen matter.
               entered.phase <> 'ok' OR policy.reading <> 'gone' AND (
                   cardinality(escalated.opens) > 0
                   OR 'alert' IN (before.no_data, before.on_error) AND (before.is_known OR before.status = 'value')
               ) AS is_known
    ) after
),
-- State changes of this minute, and the alert text of each. If there are more than `at_most`, apply none.
turned AS MATERIALIZED (
    SELECT *
    FROM evaluated
    WHERE transition IS NOT NULL OR NOT is_known
       OR ROW(phase, since, clear_since, missing_since, value_rank, floor_rank, raised_at, acknowledged, opens,
              is_flapping) IS DISTINCT FROM was
), changed AS MATERIALIZED (
    SELECT * FROM turned WHERE :at_most::integer IS NULL OR (SELECT count(*) FROM turned) <= :at_most
), moving AS (
    SELECT j.rule_id, j.component, j.labels, j.alert_id, j.transition, j.reason, j.is_flapping, j.value,
           CASE WHEN j.transition <> 'resolved' THEN (alert_levels())[j.rank] END AS level,
           j.rank, r.name AS rule, coalesce(r.category, s.category, 'system') AS category, s.id AS series_id,
           coalesce(r.limits[j.rank], r.limits[j.value_rank]) AS threshold,
           CASE WHEN r.metric = 'component_up' THEN subject_of(j.component, j.labels) || ' is down'
                WHEN r.metric = 'host_silent_seconds'
                THEN coalesce(j.labels ->> 'host', j.component) || ' stopped sending'
                ELSE concat_ws(': ', nullif(subject_of(j.component, j.labels), ''), r.name) END AS title,
           CASE WHEN r.kind = 'composite' THEN concat_ws(', ',
               'all of ' || nullif(array_to_string(r.all_of, ' and '), ''),
                    'any of ' || nullif(array_to_string(r.any_of, ' and '), ''),
                    'none of ' || nullif(array_to_string(r.none_of, ' and '), ''))
                WHEN j.reason = 'no data' THEN 'no data of ' || series_name(r.metric, j.labels)
                WHEN j.reason <> '' AND j.value IS NULL THEN concat_ws(': ', series_name(r.metric, j.labels), j.reason)
                WHEN r.metric = 'component_up' THEN coalesce(nullif(st.reason, ''), 'it does not answer')
                WHEN r.metric = 'host_silent_seconds' THEN coalesce(nullif(st.reason, ''), 'no sample arrives')
                ELSE breach_message(
                    CASE r.kind WHEN 'burn' THEN 'Burn rate of the error budget'
                                ELSE metric_title(r.metric) || labels_in_brackets(j.labels) END
                    || CASE r.kind WHEN 'change' THEN ' changed by'
                                   WHEN 'ratio' THEN ' per ' || metric_title(r.over) || ' at' ELSE ' at' END,
                    j.value, u.unit, r.op, coalesce(r.limits[j.rank], r.limits[j.value_rank]))
                    || CASE WHEN r.kind IN ('burn', 'sql') THEN ''
                            ELSE ', ' || aggregate_text(r.agg, r.window_s) END END AS message
    FROM changed j
    LEFT JOIN rules r ON r.id = j.rule_id AND r.id = ANY (ARRAY(SELECT rule_id FROM changed))
    LEFT JOIN series s ON s.metric = r.metric AND s.component = j.component AND s.labels = j.labels
    LEFT JOIN series_state st ON st.series_id = s.id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.kind IN ('ratio', 'burn') OR r.agg = 'count' THEN NULL
                    WHEN r.is_relative THEN 'percent' ELSE s.unit END AS unit
    ) u
    WHERE j.transition IS NOT NULL
)
SELECT count(m) FROM moving m;

ROLLBACK;
