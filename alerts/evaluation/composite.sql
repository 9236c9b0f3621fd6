-- part: live.spans
spans AS MATERIALIZED (
    SELECT r.name, s.component, greatest(s.value_rank, s.floor_rank) AS rank,
           '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    FROM alert_states s
    JOIN alert_rules r ON r.id = s.rule_id
    WHERE s.phase = 'firing' AND r.name IN (SELECT name FROM members)
)

-- part: draft.spans
spans AS MATERIALIZED (
    SELECT name, component, rank, since, coalesce(until, 'infinity') AS until
    FROM jsonb_to_recordset(%(spans)s::jsonb)
         AS span (name text, component text, rank integer, since timestamptz, until timestamptz)
)

-- part: live.known
SELECT rule_id, component FROM alert_states WHERE false

-- part: draft.known
SELECT rule_id, component FROM jsonb_to_recordset(%(states)s::jsonb) AS state (rule_id integer, component text)

-- part: composed
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
{spans}, fires AS MATERIALIZED (
    SELECT m.rule_id, CASE WHEN r.by_component THEN f.component ELSE coalesce(r.component, '') END AS component,
           i.at, m.role, m.name, max(f.rank) AS rank
    FROM members m
    JOIN rules r ON r.id = m.rule_id
    JOIN spans f ON f.name = m.name AND (r.component IS NULL OR f.component = r.component)
    CROSS JOIN generate_series(0, %(minutes)s::integer) minute (number)
    CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + minute.number * interval '1 minute' AS at) i
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
            {known}
        ) k
        JOIN rules r ON r.id = k.rule_id
        CROSS JOIN generate_series(0, %(minutes)s::integer) minute (number)
        CROSS JOIN LATERAL (SELECT %(start)s::timestamptz + minute.number * interval '1 minute' AS at) i
        LEFT JOIN fires f ON f.rule_id = k.rule_id AND f.component = k.component AND f.at = i.at
        GROUP BY k.rule_id, k.component, i.at
    ) t
    JOIN rules r ON r.id = t.rule_id
)
