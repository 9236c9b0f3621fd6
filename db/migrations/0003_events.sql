-- The one bus: what happened, in the order in which it was committed.

CREATE TABLE events (
    seq     bigint PRIMARY KEY,
    time    timestamptz NOT NULL,
    type    text NOT NULL,
    payload jsonb NOT NULL
);
COMMENT ON TABLE events IS 'Transitions of alerts and health in the order of their commits; live clients resume from it.';
COMMENT ON COLUMN events.seq IS 'Order of commits; grows, and may have gaps.';
COMMENT ON COLUMN events.time IS 'When it happened.';
COMMENT ON COLUMN events.type IS 'Type of the message: alerts, alert_resolved or health.';
COMMENT ON COLUMN events.payload IS 'The data of the message as live clients receive it.';

CREATE INDEX events_time ON events (time);

-- A sequence is not ordered by commit: a reader of seq > n could step over a transaction still open.
-- This row is locked from the first event of a transaction to its end, so it cannot.
CREATE TABLE event_counter (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq  bigint NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE event_counter IS 'The newest event number, in one row.';
COMMENT ON COLUMN event_counter.one IS 'There is one row.';
COMMENT ON COLUMN event_counter.seq IS 'Number of the newest event.';
INSERT INTO event_counter (seq) VALUES (0);
