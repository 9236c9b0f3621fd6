-- People who are told, the schedules by which they are on call, and who was on call.

CREATE TABLE contacts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    title           text NOT NULL DEFAULT '',
    tz              text NOT NULL DEFAULT 'UTC',
    language        text NOT NULL DEFAULT 'en',
    mute_until      timestamptz,
    quiet_hours     jsonb NOT NULL DEFAULT '[]',
    quiet_min_level text NOT NULL DEFAULT 'critical' CHECK (quiet_min_level IN ('info', 'warning', 'critical', 'emergency')),
    updated_at      timestamptz NOT NULL,
    updated_by      text NOT NULL
);
COMMENT ON TABLE contacts IS 'People who are told of alerts.';
COMMENT ON COLUMN contacts.id IS 'Number of the contact, in the order in which they were made.';
COMMENT ON COLUMN contacts.name IS 'Unique name; it never changes.';
COMMENT ON COLUMN contacts.title IS 'The person''s own name.';
COMMENT ON COLUMN contacts.tz IS 'Time zone of the times in messages, and of quiet_hours.';
COMMENT ON COLUMN contacts.language IS 'Language of messages: en or pt-BR.';
COMMENT ON COLUMN contacts.mute_until IS 'Nothing is sent before this time; null: everything is.';
COMMENT ON COLUMN contacts.quiet_hours IS 'Hours in which messages wait: a list of {weekdays, start, end}, on the clocks of tz.';
COMMENT ON COLUMN contacts.quiet_min_level IS 'Alerts of at least this level are sent in quiet_hours too.';
COMMENT ON COLUMN contacts.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN contacts.updated_by IS 'Who changed it.';

CREATE TABLE contact_addresses (
    contact_id   bigint NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    channel_id   bigint NOT NULL REFERENCES channels (id),
    address      text NOT NULL,
    position     integer NOT NULL,
    verified_at  timestamptz,
    code_id      bytea,
    code_sent_at timestamptz,
    code_tries   integer NOT NULL DEFAULT 0,
    PRIMARY KEY (contact_id, channel_id, address)
);
CREATE INDEX contact_addresses_channel ON contact_addresses (channel_id);
COMMENT ON TABLE contact_addresses IS 'Where a contact is reached: an address within a channel.';
COMMENT ON COLUMN contact_addresses.contact_id IS 'The contact.';
COMMENT ON COLUMN contact_addresses.channel_id IS 'The channel that carries the messages; it cannot be deleted.';
COMMENT ON COLUMN contact_addresses.address IS 'Mail address, phone number and the like, as the channel''s type has it; empty: the channel''s own.';
COMMENT ON COLUMN contact_addresses.position IS 'Order of the addresses of a contact, from 1.';
COMMENT ON COLUMN contact_addresses.verified_at IS 'When the contact proved to read it; null: not yet.';
COMMENT ON COLUMN contact_addresses.code_id IS 'What the code that was sent last is made of, with VIGIA_SECRET_KEY; null: none waits.';
COMMENT ON COLUMN contact_addresses.code_sent_at IS 'When a code was last sent.';
COMMENT ON COLUMN contact_addresses.code_tries IS 'Wrong codes since then.';

CREATE TABLE schedules (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    title          text NOT NULL DEFAULT '',
    tz             text NOT NULL DEFAULT 'UTC',
    layers         jsonb NOT NULL DEFAULT '[]',
    temporary      jsonb NOT NULL DEFAULT '[]',
    recorded_until timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    updated_by     text NOT NULL
);
COMMENT ON TABLE schedules IS 'Who is on call: rotations, and what replaces them for a time.';
COMMENT ON COLUMN schedules.id IS 'Number of the schedule, in the order in which they were made.';
COMMENT ON COLUMN schedules.name IS 'Unique name; it never changes.';
COMMENT ON COLUMN schedules.title IS 'What people call it.';
COMMENT ON COLUMN schedules.tz IS 'Time zone of the clocks by which hand-overs happen.';
COMMENT ON COLUMN schedules.layers IS 'List of rotations; of those that have somebody, the last one counts.';
COMMENT ON COLUMN schedules.temporary IS 'List of temporary schedules, each with its shifts.';
COMMENT ON COLUMN schedules.recorded_until IS 'Before this time on_call_shifts says who was on call, and everybody was told of each hand-over.';
COMMENT ON COLUMN schedules.updated_at IS 'When it was last changed; overrides do not count.';
COMMENT ON COLUMN schedules.updated_by IS 'Who changed it.';

CREATE TABLE schedule_overrides (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule_id bigint NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL CHECK (starts_at < ends_at),
    in_person   text,
    out_person  text,
    is_everyone boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL
);
CREATE INDEX schedule_overrides_ends_at ON schedule_overrides (schedule_id, ends_at);
COMMENT ON TABLE schedule_overrides IS 'Shifts that somebody takes or leaves, applied in the order of their numbers.';
COMMENT ON COLUMN schedule_overrides.id IS 'Number of the override.';
COMMENT ON COLUMN schedule_overrides.schedule_id IS 'The schedule.';
COMMENT ON COLUMN schedule_overrides.starts_at IS 'From when on it counts.';
COMMENT ON COLUMN schedule_overrides.ends_at IS 'Until when it counts.';
COMMENT ON COLUMN schedule_overrides.in_person IS 'Who comes on call; null: nobody.';
COMMENT ON COLUMN schedule_overrides.out_person IS 'Who is not on call instead; null: nobody in particular.';
COMMENT ON COLUMN schedule_overrides.is_everyone IS 'Whether in_person replaces everyone who is on call.';
COMMENT ON COLUMN schedule_overrides.created_at IS 'When it was made.';
COMMENT ON COLUMN schedule_overrides.created_by IS 'Who made it.';

CREATE TABLE on_call_shifts (
    schedule_id bigint NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL CHECK (starts_at < ends_at),
    people      text[] NOT NULL,
    PRIMARY KEY (schedule_id, starts_at)
);
CREATE INDEX on_call_shifts_ends_at ON on_call_shifts (schedule_id, ends_at);
COMMENT ON TABLE on_call_shifts IS 'Who was on call, written as it happens; without a row nobody was.';
COMMENT ON COLUMN on_call_shifts.schedule_id IS 'The schedule.';
COMMENT ON COLUMN on_call_shifts.starts_at IS 'From when on.';
COMMENT ON COLUMN on_call_shifts.ends_at IS 'Until when; it grows while the shift goes on.';
COMMENT ON COLUMN on_call_shifts.people IS 'Names of the contacts, in order.';

CREATE TABLE calendar_feeds (
    token_hash  bytea PRIMARY KEY,
    schedule_id bigint UNIQUE REFERENCES schedules (id) ON DELETE CASCADE,
    contact_id  bigint UNIQUE REFERENCES contacts (id) ON DELETE CASCADE,
    created_at  timestamptz NOT NULL,
    created_by  text NOT NULL,
    CHECK (num_nonnulls(schedule_id, contact_id) = 1)
);
COMMENT ON TABLE calendar_feeds IS 'Addresses at which a calendar reads a schedule, or the shifts of a person, without a key.';
COMMENT ON COLUMN calendar_feeds.token_hash IS 'SHA-256 of the token in the address.';
COMMENT ON COLUMN calendar_feeds.schedule_id IS 'The schedule that is read; null: those of a person.';
COMMENT ON COLUMN calendar_feeds.contact_id IS 'The person whose shifts are read; null: those of a schedule.';
COMMENT ON COLUMN calendar_feeds.created_at IS 'When it was made.';
COMMENT ON COLUMN calendar_feeds.created_by IS 'Who made it.';

COMMENT ON COLUMN notifications.event IS 'opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended or code.';
COMMENT ON COLUMN deliveries.created_at IS 'When it was decided: the time of the commit''s transaction; the end of quiet hours, if it waited for that.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, contact_changed, schedule_changed, key_created, key_revoked, admin_created or first_admin_created.';
