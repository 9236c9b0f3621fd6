-- What holds alerts back, so that nobody is told of them: silences, maintenance windows, and what holds each alert.

CREATE TABLE alert_silences (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    matcher    jsonb NOT NULL CHECK (jsonb_typeof(matcher) = 'object' AND matcher <> '{}'),
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL CHECK (ends_at >= starts_at),
    comment    text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);
COMMENT ON TABLE alert_silences IS 'Alerts of which nobody wants to be told for a while; ended ones stay.';
COMMENT ON COLUMN alert_silences.id IS 'Number of the silence; it holds alerts as silence:<number>.';
COMMENT ON COLUMN alert_silences.matcher IS 'Which alerts: rule, component, category and level as a value or an array of some, and labels.';
COMMENT ON COLUMN alert_silences.starts_at IS 'From when on it holds.';
COMMENT ON COLUMN alert_silences.ends_at IS 'Until when it holds.';
COMMENT ON COLUMN alert_silences.comment IS 'Why.';
COMMENT ON COLUMN alert_silences.created_at IS 'When it was made.';
COMMENT ON COLUMN alert_silences.created_by IS 'Who made it.';
COMMENT ON COLUMN alert_silences.updated_at IS 'When it was last changed, or ended early.';
COMMENT ON COLUMN alert_silences.updated_by IS 'Who did that.';
CREATE INDEX alert_silences_ends_at ON alert_silences (ends_at);

CREATE TABLE maintenance_windows (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    matcher    jsonb NOT NULL CHECK (jsonb_typeof(matcher) = 'object'),
    repeat     text NOT NULL CHECK (repeat IN ('once', 'daily', 'weekly', 'monthly')),
    starts_at  timestamptz,
    ends_at    timestamptz CHECK (ends_at > starts_at),
    -- A name that this database does not know is an error here, and so none when alerts are evaluated.
    tz         text NOT NULL CHECK (timestamptz 'epoch' AT TIME ZONE tz IS NOT NULL),
    local_time time,
    duration_s integer CHECK (duration_s > 0),
    weekdays   text[] NOT NULL CHECK (weekdays <@ ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']),
    days       integer[] NOT NULL,
    comment    text NOT NULL,
    enabled    boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    CHECK (CASE repeat WHEN 'once' THEN starts_at IS NOT NULL AND ends_at IS NOT NULL
                       ELSE local_time IS NOT NULL AND duration_s IS NOT NULL END)
);
COMMENT ON TABLE maintenance_windows IS 'Planned work, once or again and again: nobody is told of what it covers.';
COMMENT ON COLUMN maintenance_windows.id IS 'Number of the window.';
COMMENT ON COLUMN maintenance_windows.name IS 'Name of the window; it holds alerts as maintenance:<name>.';
COMMENT ON COLUMN maintenance_windows.matcher IS 'Which alerts, as of a silence; empty: all.';
COMMENT ON COLUMN maintenance_windows.repeat IS 'once, daily, weekly or monthly.';
COMMENT ON COLUMN maintenance_windows.starts_at IS 'When it begins; of a recurring one, from when on it recurs; null: always.';
COMMENT ON COLUMN maintenance_windows.ends_at IS 'When it ends; of a recurring one, until when it recurs; null: for ever.';
COMMENT ON COLUMN maintenance_windows.tz IS 'Time zone of local_time, by its IANA name.';
COMMENT ON COLUMN maintenance_windows.local_time IS 'Of a recurring one: when it begins on its days.';
COMMENT ON COLUMN maintenance_windows.duration_s IS 'Of a recurring one: how many seconds pass until it ends.';
COMMENT ON COLUMN maintenance_windows.weekdays IS 'Of a weekly one: its days, mon to sun.';
COMMENT ON COLUMN maintenance_windows.days IS 'Of a monthly one: its days; one that a month has not is its last.';
COMMENT ON COLUMN maintenance_windows.comment IS 'What is done.';
COMMENT ON COLUMN maintenance_windows.enabled IS 'Whether it holds anything.';
COMMENT ON COLUMN maintenance_windows.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN maintenance_windows.updated_by IS 'Who last changed it.';

ALTER TABLE system_alerts ADD COLUMN held_by text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN system_alerts.held_by IS 'What keeps everybody from being told, or did when it ended: silence:3, maintenance:backup, dependency:database.';

ALTER TABLE system_alert_events
    DROP CONSTRAINT system_alert_events_type_check,
    ADD CHECK (type IN ('opened', 'escalated', 'lowered', 'acknowledged', 'commented', 'held', 'released',
                        'resolved', 'reopened'));
COMMENT ON COLUMN system_alert_events.type IS 'opened, escalated, lowered, acknowledged, commented, held, released, resolved or reopened.';
