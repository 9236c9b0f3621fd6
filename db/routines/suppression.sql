-- When planned work goes on. Time zones are those of the database, which are the same on both engines.

-- A moment by the clock on the wall. As in RFC 5545, one that the clock passes twice is the first of them,
-- and one that it leaves out is counted from before the change: 02:30 is then 03:30.
CREATE OR REPLACE FUNCTION local_instant(p_local timestamp, p_tz text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN g.guess AT TIME ZONE p_tz = p_local THEN g.guess ELSE g.instant END
    FROM (
        -- What it would be if the clock had not been changed for a day.
        SELECT i.instant,
               i.instant + (p_local - ((i.instant - interval '24 hours') AT TIME ZONE p_tz
                   + interval '24 hours')) AS guess
        FROM (SELECT p_local AT TIME ZONE p_tz AS instant) i
    ) g
$$;
COMMENT ON FUNCTION local_instant IS
    'The moment at which clocks of a zone show a local time: the first one, or where they would have if they had not been changed.';

-- Days of the calendar are counted from a day before to a day after, for a zone that leaves one out. Its work
-- is then that of the next day: the same span, found once.
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
    'Each occurrence of a maintenance window that touches a range of time, as a whole. They may overlap.';
