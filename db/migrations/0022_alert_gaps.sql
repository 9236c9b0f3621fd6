-- Time that alerts never looked at, so that a preview leaves it out as they did, and says so.

CREATE TABLE alert_gaps (
    start_time timestamptz PRIMARY KEY,
    end_time   timestamptz NOT NULL CHECK (end_time > start_time)
);
COMMENT ON TABLE alert_gaps IS 'Minutes that were never evaluated: the service was off, or late, or the clock was set forward. They do not overlap.';
COMMENT ON COLUMN alert_gaps.start_time IS 'The first such minute.';
COMMENT ON COLUMN alert_gaps.end_time IS 'The minute that was evaluated next.';
