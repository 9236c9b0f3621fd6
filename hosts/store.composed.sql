-- The statements of hosts/store.py as they are sent, put together from the parts in .sql files.
-- Written by `make schema`: change the parts, not this file.
--
-- In psql, `\i hosts/store.composed.sql` runs all of them on what is there, and undoes it. What stands
-- here as a variable of psql, such as :at, the service binds as a parameter.

\set at 'date_trunc(''minute'', now())'
\set components 'ARRAY[''server'']'
\set firsts 'ARRAY[now() - interval ''15 seconds'']'
\set gap 'interval ''1 minute'''
\set intervals '3'
\set kinds 'ARRAY[''host'']'
\set lasts 'ARRAY[now()]'
\set names 'ARRAY[''server'']'
\set return_reported_for 'interval ''5 minutes'''
\set samples 'ARRAY[2]'
\set samples_min '10'
\set silent_min_s '120'
\set started '(date_trunc(''minute'', now()) - interval ''1 hour'')'

BEGIN;

-- RECORD
-- Writes which hosts were seen. The usual interval is a mean in which each of the newest five or so intervals
-- counts a fifth. One long silence is taken for no more than the limit, or a single outage would make the host's
-- next one go unnoticed. Time in which Vigia received nothing does not count. A last_seen far ahead of a live sample
-- comes from a clock that was wrong.
INSERT INTO host_state AS h (name, kind, component, last_seen, live_samples, usual_interval_s)
SELECT name, kind, component, last_seen, samples,
       extract(epoch FROM last_seen - first_seen) / nullif(samples - 1, 0)
FROM unnest(:names::text[], :kinds::text[], :components::text[], :firsts::timestamptz[],
            :lasts::timestamptz[], :samples::bigint[])
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
                     extract(epoch FROM make_interval(secs => greatest(:silent_min_s, :intervals * coalesce(h.usual_interval_s, 0))))) - h.usual_interval_s)
        END,
    removed_at = NULL
-- A sample from before the removal may still arrive.
WHERE h.removed_at IS NULL OR excluded.last_seen > h.removed_at;

-- JUDGE
-- Finds the hosts that have been silent for too long, and those that are back, at one instant. Returns a value for
-- each: the seconds of silence, or 0 for a while after its return. Silence counts from `counting_since` on, which
-- is now if nobody has judged for `gap`, if this process began later, or if the clock was set back.
WITH clock AS (
    UPDATE host_clock
    SET judged_at = :at::timestamptz,
        counting_since = CASE WHEN judged_at BETWEEN :at::timestamptz - :gap::interval AND :at::timestamptz
                               AND (counting_since >= :started::timestamptz OR :started > :at)
                              THEN counting_since ELSE :at::timestamptz END
    RETURNING counting_since
), turned AS (
    UPDATE host_state h
    SET silent_since = CASE WHEN h.silent_since IS NULL THEN h.last_seen END,
        returned_at = CASE WHEN h.silent_since IS NULL THEN h.returned_at ELSE :at::timestamptz END
    FROM clock
    WHERE h.removed_at IS NULL
      AND CASE WHEN h.silent_since IS NOT NULL THEN h.last_seen <> h.silent_since
               ELSE h.live_samples >= :samples_min
                AND :at::timestamptz - greatest(h.last_seen, clock.counting_since) > make_interval(secs => greatest(:silent_min_s, :intervals * coalesce(h.usual_interval_s, 0))) END
    RETURNING h.name, h.kind, h.component, h.last_seen, h.usual_interval_s, h.silent_since
)
SELECT * FROM turned
UNION ALL
SELECT h.name, h.kind, h.component, h.last_seen, h.usual_interval_s, h.silent_since
FROM host_state h
WHERE h.removed_at IS NULL
  AND (h.silent_since IS NOT NULL OR h.returned_at > :at::timestamptz - :return_reported_for::interval)
  AND NOT EXISTS (SELECT FROM turned t WHERE t.name = h.name AND t.kind = h.kind)
ORDER BY name, kind;

ROLLBACK;
