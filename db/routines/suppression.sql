-- The times of maintenance windows. Time zones come from the database, and are the same on both engines.

-- The instant of a local time. As in RFC 5545, a time that occurs twice is its first occurrence, and a time that is
-- skipped is counted from before the change: 02:30 becomes 03:30.
CREATE OR REPLACE FUNCTION local_instant(p_local timestamp, p_tz text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN g.guess AT TIME ZONE p_tz = p_local THEN g.guess ELSE g.instant END
    FROM (
        -- The instant with the offset of the day before, as if the clock had not been changed.
        SELECT i.instant,
               i.instant + (p_local - ((i.instant - interval '24 hours') AT TIME ZONE p_tz
                   + interval '24 hours')) AS guess
        FROM (SELECT p_local AT TIME ZONE p_tz AS instant) i
    ) g
$$;
COMMENT ON FUNCTION local_instant IS
    'The instant of a local time in a zone: the first if it occurs twice, by the offset before the change if skipped.';

-- Calendar days are counted from one day before to one day after, because a zone can skip a whole day. The window of a
-- skipped day is then the same span as that of the next day, and is found once.
CREATE OR REPLACE FUNCTION maintenance_spans(p_start timestamptz, p_end timestamptz)
RETURNS TABLE (window_id integer, name text, matcher jsonb, starts_at timestamptz, ends_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT w.id, w.name, w.matcher, s.starts_at, e.ends_at
    FROM maintenance_windows w
    CROSS JOIN LATERAL (
        SELECT w.starts_at, w.ends_at
        WHERE w.repeat = 'once'
        UNION ALL
        SELECT greatest(o.instant, w.starts_at),
               least(o.instant + make_interval(secs => w.duration_s), w.ends_at)
        FROM generate_series(
            date_trunc('day', (greatest(p_start, w.starts_at) - make_interval(secs => w.duration_s)) AT TIME ZONE w.tz)
                - interval '1 day',
            (least(p_end, w.ends_at) AT TIME ZONE w.tz) + interval '1 day',
            interval '1 day'
        ) AS d (day)
        CROSS JOIN LATERAL (SELECT local_instant(d.day + w.local_time, w.tz) AS instant) o
        WHERE CASE w.repeat
                  WHEN 'daily' THEN true
                  WHEN 'weekly' THEN to_char(d.day, 'dy') = ANY (w.weekdays)
                  WHEN 'monthly' THEN EXISTS (
                      SELECT FROM unnest(w.days) AS wanted (day)
                      WHERE extract(day FROM d.day) = least(wanted.day, extract(day FROM
                                date_trunc('month', d.day) + interval '1 month' - interval '1 day'))
                  ) END
    ) s
    CROSS JOIN LATERAL (SELECT least(s.ends_at, w.removed_at) AS ends_at) e
    WHERE w.enabled AND s.starts_at < e.ends_at AND s.starts_at < p_end AND e.ends_at > p_start
$$;
COMMENT ON FUNCTION maintenance_spans IS
    'Each whole occurrence of a maintenance window that overlaps a time range. Occurrences may overlap.';
