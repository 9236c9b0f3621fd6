-- Which alerts go where: routes, groups of alerts with their timers, escalation policies, and escalations under way.

CREATE TABLE policies (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name                      text NOT NULL UNIQUE,
    title                     text NOT NULL DEFAULT '',
    steps                     jsonb NOT NULL CHECK (jsonb_typeof(steps) = 'array'),
    repeat                    integer NOT NULL DEFAULT 0 CHECK (repeat >= 0),
    acknowledgement_expires_s integer NOT NULL DEFAULT 7200 CHECK (acknowledgement_expires_s >= 0),
    updated_at                timestamptz NOT NULL,
    updated_by                text NOT NULL
);
COMMENT ON TABLE policies IS 'Escalation policies: who is told of an alert one after the other, until somebody acknowledges it.';
COMMENT ON COLUMN policies.id IS 'Number of the policy, in the order in which they were made.';
COMMENT ON COLUMN policies.name IS 'Unique name; it never changes.';
COMMENT ON COLUMN policies.title IS 'What people call it.';
COMMENT ON COLUMN policies.steps IS 'List of {targets, delay}; a target is {kind, name} of a person, a schedule or a channel.';
COMMENT ON COLUMN policies.repeat IS 'How often the steps are taken again after the last.';
COMMENT ON COLUMN policies.acknowledgement_expires_s IS 'Seconds until an acknowledgement ends; 0: it never does.';
COMMENT ON COLUMN policies.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN policies.updated_by IS 'Who changed it.';

CREATE TABLE routes (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,
    title            text NOT NULL DEFAULT '',
    position         integer NOT NULL,
    matcher          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(matcher) = 'object'),
    goes_on          boolean NOT NULL DEFAULT false,
    policy_id        bigint REFERENCES policies (id),
    group_by         text[] NOT NULL DEFAULT '{}',
    group_wait_s     integer NOT NULL DEFAULT 30 CHECK (group_wait_s >= 0),
    group_interval_s integer NOT NULL DEFAULT 300 CHECK (group_interval_s > 0),
    repeat_s         integer NOT NULL DEFAULT 14400 CHECK (repeat_s >= 0),
    quiet_hours      jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(quiet_hours) = 'array'),
    tz               text NOT NULL DEFAULT 'UTC',
    enabled          boolean NOT NULL DEFAULT true,
    updated_at       timestamptz NOT NULL,
    updated_by       text NOT NULL
);
CREATE INDEX routes_policy ON routes (policy_id);
COMMENT ON TABLE routes IS 'Which alerts go where: an alert takes the first enabled route that matches.';
COMMENT ON COLUMN routes.id IS 'Number of the route.';
COMMENT ON COLUMN routes.name IS 'Unique name; it never changes.';
COMMENT ON COLUMN routes.title IS 'What people call it.';
COMMENT ON COLUMN routes.position IS 'Place among the routes, from 1.';
COMMENT ON COLUMN routes.matcher IS 'Which alerts: rule, component, category, level, labels, min_level, hours; empty: all.';
COMMENT ON COLUMN routes.goes_on IS 'Whether an alert that matches takes the following routes too.';
COMMENT ON COLUMN routes.policy_id IS 'Escalation policy that an alert starts; null: none.';
COMMENT ON COLUMN routes.group_by IS 'What the alerts of a group have in common: rule, component, category and labels; ... alone: each alert is one.';
COMMENT ON COLUMN routes.group_wait_s IS 'Seconds that the first message of a group waits for other alerts.';
COMMENT ON COLUMN routes.group_interval_s IS 'Seconds between two moments at which a group may be sent.';
COMMENT ON COLUMN routes.repeat_s IS 'Seconds after which a group in which nothing changes is sent again; 0: never.';
COMMENT ON COLUMN routes.quiet_hours IS 'Hours in which nothing is sent: a list of {weekdays, start, end}, on the clocks of tz.';
COMMENT ON COLUMN routes.tz IS 'Time zone of quiet_hours and of the hours of matcher.';
COMMENT ON COLUMN routes.enabled IS 'Whether alerts take it.';
COMMENT ON COLUMN routes.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN routes.updated_by IS 'Who changed it.';

CREATE TABLE route_channels (
    route_id   bigint NOT NULL REFERENCES routes (id) ON DELETE CASCADE,
    channel_id bigint NOT NULL REFERENCES channels (id),
    position   integer NOT NULL,
    PRIMARY KEY (route_id, channel_id)
);
CREATE INDEX route_channels_channel ON route_channels (channel_id);
COMMENT ON TABLE route_channels IS 'The channels to which a route sends its groups.';
COMMENT ON COLUMN route_channels.route_id IS 'The route.';
COMMENT ON COLUMN route_channels.channel_id IS 'The channel; it cannot be deleted.';
COMMENT ON COLUMN route_channels.position IS 'Place among the channels of the route, from 1.';

CREATE TABLE notification_groups (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    route_id bigint NOT NULL REFERENCES routes (id) ON DELETE CASCADE,
    key      text NOT NULL,
    labels   jsonb NOT NULL,
    first_at timestamptz NOT NULL,
    next_at  timestamptz,
    sent_at  timestamptz,
    messages integer NOT NULL DEFAULT 0,
    UNIQUE (route_id, key)
);
CREATE INDEX notification_groups_next_at ON notification_groups (next_at) WHERE next_at IS NOT NULL;
COMMENT ON TABLE notification_groups IS 'Open alerts of a route that are sent together, and when.';
COMMENT ON COLUMN notification_groups.id IS 'Number of the group; a group that ended and began again has another.';
COMMENT ON COLUMN notification_groups.route_id IS 'The route.';
COMMENT ON COLUMN notification_groups.key IS 'A hash of labels.';
COMMENT ON COLUMN notification_groups.labels IS 'What its alerts have in common, by group_by of the route.';
COMMENT ON COLUMN notification_groups.first_at IS 'When it was to be sent first; later messages are multiples of group_interval after it.';
COMMENT ON COLUMN notification_groups.next_at IS 'When it is looked at next; null: not before one of its alerts changes.';
COMMENT ON COLUMN notification_groups.sent_at IS 'When it was sent last; null: not yet.';
COMMENT ON COLUMN notification_groups.messages IS 'How many messages it has had.';

CREATE TABLE notification_group_members (
    group_id bigint NOT NULL REFERENCES notification_groups (id) ON DELETE CASCADE,
    alert_id bigint NOT NULL REFERENCES system_alerts (id) ON DELETE CASCADE,
    is_sent  boolean NOT NULL DEFAULT false,
    sent_to  bigint NOT NULL,
    PRIMARY KEY (group_id, alert_id)
);
CREATE INDEX notification_group_members_alert ON notification_group_members (alert_id);
COMMENT ON TABLE notification_group_members IS 'Alerts of a group; one leaves when its end was sent.';
COMMENT ON COLUMN notification_group_members.group_id IS 'The group.';
COMMENT ON COLUMN notification_group_members.alert_id IS 'The alert.';
COMMENT ON COLUMN notification_group_members.is_sent IS 'Whether a message of the group had it.';
COMMENT ON COLUMN notification_group_members.sent_to IS 'Number of the last notification of the alert that the group has dealt with.';

CREATE TABLE escalations (
    id                        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id                  bigint NOT NULL REFERENCES system_alerts (id) ON DELETE CASCADE,
    transition_id             bigint NOT NULL,
    route                     text NOT NULL,
    policy                    jsonb NOT NULL,
    acknowledgement_expires_s integer NOT NULL,
    started_at                timestamptz NOT NULL,
    acknowledged_at           timestamptz[] NOT NULL,
    taken                     text[] NOT NULL DEFAULT '{}',
    next_at                   timestamptz,
    stopped_at                timestamptz
);
CREATE INDEX escalations_alert ON escalations (alert_id);
CREATE INDEX escalations_next_at ON escalations (next_at) WHERE stopped_at IS NULL AND next_at IS NOT NULL;
COMMENT ON TABLE escalations IS 'Alerts that go through the steps of a policy.';
COMMENT ON COLUMN escalations.id IS 'Number of the escalation.';
COMMENT ON COLUMN escalations.alert_id IS 'The alert.';
COMMENT ON COLUMN escalations.transition_id IS 'The row of system_alert_events that began it: that it opened, for instance.';
COMMENT ON COLUMN escalations.route IS 'Name of the route that began it.';
COMMENT ON COLUMN escalations.policy IS 'The policy as it was then.';
COMMENT ON COLUMN escalations.acknowledgement_expires_s IS 'Seconds until an acknowledgement ends, by the policy; 0: it never does.';
COMMENT ON COLUMN escalations.started_at IS 'When the first step is due.';
COMMENT ON COLUMN escalations.acknowledged_at IS 'Each acknowledgement of the alert since it opened.';
COMMENT ON COLUMN escalations.taken IS 'Keys of the steps that were taken, such as 0.1.2: after no expired acknowledgement, in round 1, step 2.';
COMMENT ON COLUMN escalations.next_at IS 'When the next step is due; null: there is none unless the alert is acknowledged.';
COMMENT ON COLUMN escalations.stopped_at IS 'When the alert was resolved or suppressed; null: it is neither.';

ALTER TABLE deliveries ADD COLUMN notification_group_id bigint;
COMMENT ON COLUMN deliveries.notification_group_id IS 'The group of a route, if one sends it: its messages keep their order.';
CREATE INDEX deliveries_pending_of_group ON deliveries (channel_id, address, notification_group_id, id)
WHERE state = 'pending' AND notification_group_id IS NOT NULL;

COMMENT ON COLUMN notifications.payload IS 'The alert as it was then, the alerts of a group by number, or what else the message is made from.';
