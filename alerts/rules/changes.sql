-- name: strays
SELECT c.name AS composite, m.name
FROM alert_rules c
CROSS JOIN LATERAL unnest(c.all_of || c.any_of || c.none_of) m (name)
LEFT JOIN alert_rules r ON r.name = m.name AND r.kind <> 'composite'
WHERE c.kind = 'composite' AND r.id IS NULL AND (c.name = ANY (%(names)s) OR m.name = ANY (%(names)s))
ORDER BY c.id

-- name: sql_rules
SELECT count(*) AS count, count(DISTINCT metric) AS metrics, version() LIKE '%%emcc%%' AS is_embedded
FROM alert_rules
WHERE kind = 'sql'
HAVING bool_or(name = ANY (%(names)s))

-- name: too_long
-- Rules whose window and offset reach further back than the 1m tier is kept.
SELECT r.name, extract(epoch FROM t.keep)::bigint AS kept_s
FROM alert_rules r
CROSS JOIN tiers t
WHERE r.name = ANY (%(names)s) AND t.name = '1m' AND t.keep IS NOT NULL
  AND r.window_s + CASE r.kind WHEN 'change' THEN r.offset_s ELSE 0 END > greatest(extract(epoch FROM t.keep), 86400)
ORDER BY r.id
