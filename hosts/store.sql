-- part: limit
-- How long a host may be silent: docs/reference/hosts.md states this law.
make_interval(secs => greatest(%(silent_min_s)s, %(intervals)s * coalesce(h.usual_interval_s, 0)))

-- name: record
-- Writes which hosts were seen. The usual interval is a mean in which each of the newest five or so intervals
-- counts a fifth. One long silence is taken for no more than the limit, or a single outage would make the host's
-- next one go unnoticed. Time in which Vigia received nothing does not count. A last_seen far ahead of a live sample
-- comes from a clock that was wrong.
INSERT INTO host_state AS h (name, kind, component, last_seen, live_samples, usual_interval_s)
SELECT name, kind, component, last_seen, samples,
       extract(epoch FROM last_seen - first_seen) / nullif(samples - 1, 0)
FROM unnest(%(names)s::text[], %(kinds)s::text[], %(components)s::text[], %(firsts)s::timestamptz[],
            %(lasts)s::timestamptz[], %(samples)s::bigint[])
     AS given (name, kind, component, first_seen, last_seen, samples)
ORDER BY name, kind
ON CONFLICT (name, kind) DO UPDATE
SET last_seen = CASE WHEN h.last_seen > excluded.last_seen + interval '10 minutes' THEN excluded.last_seen
                     ELSE greatest(h.last_seen, excluded.last_seen) END,
    live_samples = CASE WHEN h.removed_at IS NULL THEN h.live_samples ELSE 0 END + excluded.live_samples,
    usual_interval_s = CASE
        WHEN excluded.last_seen <= h.last_seen OR h.last_seen < (SELECT counting_since FROM host_clock)
        THEN h.usual_interval_s
        WHEN h.usual_interval_s IS NULL
        THEN extract(epoch FROM excluded.last_seen - h.last_seen) / excluded.live_samples
        ELSE h.usual_interval_s + (1 - power(0.8, least(excluded.live_samples, 50)))
            * (least(extract(epoch FROM excluded.last_seen - h.last_seen) / excluded.live_samples,
                     extract(epoch FROM {limit})) - h.usual_interval_s)
        END,
    removed_at = NULL
-- A sample from before the removal may still arrive.
WHERE h.removed_at IS NULL OR excluded.last_seen > h.removed_at

-- name: judge
-- Finds the hosts that have been silent for too long, and those that are back, at one instant. Returns a value for
-- each: the seconds of silence, or 0 for a while after its return. Silence counts from `counting_since` on, which
-- is now if nobody has judged for `gap`, if this process began later, or if the clock was set back.
WITH clock AS (
    UPDATE host_clock
    SET judged_at = %(at)s::timestamptz,
        counting_since = CASE WHEN judged_at BETWEEN %(at)s::timestamptz - %(gap)s::interval AND %(at)s::timestamptz
                               AND (counting_since >= %(started)s::timestamptz OR %(started)s > %(at)s)
                              THEN counting_since ELSE %(at)s::timestamptz END
    RETURNING counting_since
), turned AS (
    UPDATE host_state h
    SET silent_since = CASE WHEN h.silent_since IS NULL THEN h.last_seen END,
        returned_at = CASE WHEN h.silent_since IS NULL THEN h.returned_at ELSE %(at)s::timestamptz END
    FROM clock
    WHERE h.removed_at IS NULL
      AND CASE WHEN h.silent_since IS NOT NULL THEN h.last_seen <> h.silent_since
               ELSE h.live_samples >= %(samples_min)s
                AND %(at)s::timestamptz - greatest(h.last_seen, clock.counting_since) > {limit} END
    RETURNING h.name, h.kind, h.component, h.last_seen, h.usual_interval_s, h.silent_since
)
SELECT * FROM turned
UNION ALL
SELECT h.name, h.kind, h.component, h.last_seen, h.usual_interval_s, h.silent_since
FROM host_state h
WHERE h.removed_at IS NULL
  AND (h.silent_since IS NOT NULL OR h.returned_at > %(at)s::timestamptz - %(return_reported_for)s::interval)
  AND NOT EXISTS (SELECT FROM turned t WHERE t.name = h.name AND t.kind = h.kind)
ORDER BY name, kind

-- name: read
SELECT h.name, h.kind, h.component, h.last_seen, h.usual_interval_s, h.silent_since
FROM host_state h
WHERE h.removed_at IS NULL
  AND (h.name, h.kind) > (%(after_name)s, %(after_kind)s)
  AND (NOT %(only_silent)s OR h.silent_since IS NOT NULL)
ORDER BY h.name, h.kind
LIMIT %(limit)s

-- name: remove
UPDATE host_state
SET removed_at = %(at)s, silent_since = NULL, returned_at = NULL, live_samples = 0
WHERE name = %(name)s AND removed_at IS NULL
RETURNING kind

-- name: forget_newest
-- Its samples stay, but its last values are no longer shown as the present.
DELETE FROM series_state
WHERE series_id IN (
    SELECT id
    FROM series
    WHERE labels ->> 'host' = %(name)s AND 'host' = ANY (%(kinds)s)
       OR component = %(name)s AND NOT labels ? 'host' AND 'component' = ANY (%(kinds)s)
)

-- name: drop_old
DELETE FROM host_state WHERE removed_at < %(before)s
