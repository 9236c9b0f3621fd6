-- The security audit, and how far it has been counted into samples that rules look at.

CREATE TABLE security_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time       timestamptz NOT NULL,
    type       text NOT NULL,
    actor      text NOT NULL,
    address    text NOT NULL,
    detail     text NOT NULL,
    count      bigint NOT NULL CHECK (count > 0),
    counted_at timestamptz
);
COMMENT ON TABLE security_events IS 'The security audit: who was refused, and who changed settings and keys.';
COMMENT ON COLUMN security_events.id IS 'Order of the rows.';
COMMENT ON COLUMN security_events.time IS 'When; of several that are alike, the first.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, key_created, key_revoked, admin_created or first_admin_created.';
COMMENT ON COLUMN security_events.actor IS 'Who; empty: a stranger.';
COMMENT ON COLUMN security_events.address IS 'Address the request came from; empty: not known, or several.';
COMMENT ON COLUMN security_events.detail IS 'What was asked for or changed; never a secret.';
COMMENT ON COLUMN security_events.count IS 'How many that are alike the row stands for.';
COMMENT ON COLUMN security_events.counted_at IS 'Time of the sample of security_events that it is counted in; null: not counted yet.';
CREATE INDEX security_events_counted_at ON security_events (counted_at);
CREATE INDEX security_events_type ON security_events (type, id);

CREATE TABLE security_clock (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    counted_at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE security_clock IS 'The newest slot of which the security events were counted: each is counted by one replica.';
COMMENT ON COLUMN security_clock.one IS 'There is one row.';
COMMENT ON COLUMN security_clock.counted_at IS 'That slot.';
INSERT INTO security_clock (counted_at) VALUES ('-infinity');
