-- part: transition
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
           coalesce(before.at - before.last_at > make_interval(secs => %(tolerance_s)s), false) AS is_lost,
           coalesce(before.missing_since, before.last_at) AS seen_to,
           make_interval(secs => %(grace_s)s) AS grace
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

-- part: of_data.evaluates
rule_id <> ALL (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite'))

-- part: of_rules.evaluates
rule_id = ANY (ARRAY(SELECT id FROM alert_rules WHERE kind = 'composite'))

-- part: probe.evaluates
rule_id = ANY (%(rule_ids)s)

-- part: evaluated
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
               %(end)s::timestamptz AS at, %(last_at)s::timestamptz AS last_at, state.alert_id,
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
            SELECT * FROM alert_states WHERE {evaluates} AND in_shard(rule_id, component, labels, %(shard)s, %(shards)s)
        ) state
            ON state.rule_id = breach.rule_id AND state.component = breach.component AND state.labels = breach.labels
        LEFT JOIN rules rule ON rule.id = coalesce(breach.rule_id, state.rule_id)
            AND rule.id = ANY (ARRAY(SELECT rule_id FROM breaches UNION SELECT rule_id FROM alert_states))
        WHERE (state.rule_id IS NOT NULL OR breach.breached_rank > 0 OR rule.remembers AND breach.status = 'value')
          -- Skip instances that stay clear and whose state row would not change.
          AND (rule.remembers AND breach.status = 'value' AND breach.breached_rank = 0 AND state.phase = 'ok'
               AND state.missing_since IS NULL AND state.opens = '{}') IS NOT TRUE
    ) before
    {transition}
)
