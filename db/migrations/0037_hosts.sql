-- When each host, and each component without hosts, last sent a live sample.

CREATE TABLE host_state (
    name             text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('host', 'component')),
    component        text NOT NULL,
    last_seen        timestamptz NOT NULL,
    live_samples     bigint NOT NULL,
    usual_interval_s double precision,
    silent_since     timestamptz,
    returned_at      timestamptz,
    removed_at       timestamptz,
    PRIMARY KEY (name, kind)
) WITH (fillfactor = 50);
COMMENT ON TABLE host_state IS 'What sends samples: one row for each value of the label host, and for each component that sends without it.';
COMMENT ON COLUMN host_state.name IS 'The value of the label host, or the component.';
COMMENT ON COLUMN host_state.kind IS 'host or component.';
COMMENT ON COLUMN host_state.component IS 'The component of its first sample.';
COMMENT ON COLUMN host_state.last_seen IS 'Time of the newest live sample.';
COMMENT ON COLUMN host_state.live_samples IS 'How many live samples it has sent, at different times, since it appeared or was removed.';
COMMENT ON COLUMN host_state.usual_interval_s IS 'Usual seconds between two live samples; null: not known yet.';
COMMENT ON COLUMN host_state.silent_since IS 'Its last_seen when it was judged silent; null: it sends, or has not been silent long enough.';
COMMENT ON COLUMN host_state.returned_at IS 'When it was last judged to send again.';
COMMENT ON COLUMN host_state.removed_at IS 'When somebody removed it; null: it was not removed, or has sent since.';

CREATE TABLE host_clock (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    judged_at      timestamptz NOT NULL DEFAULT '-infinity',
    counting_since timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO host_clock DEFAULT VALUES;
COMMENT ON TABLE host_clock IS 'One row: from when on silence counts. It starts anew whenever nobody judged for a while.';
COMMENT ON COLUMN host_clock.one IS 'Always true.';
COMMENT ON COLUMN host_clock.judged_at IS 'When silence was last judged.';
COMMENT ON COLUMN host_clock.counting_since IS 'Silence before this time does not count: the service was off, or the database away.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, contact_changed, schedule_changed, route_changed, policy_changed, notifications_paused, notifications_resumed, action_run, host_removed, key_created, key_revoked, admin_created or first_admin_created.';
