-- The schema after all migrations and routines, for reading. Written by `make schema`.

TABLE action_runs  -- What an alert has Vigia do: one row for each run of an action of the setting actions.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the run.
    action text NOT NULL  -- Name of the action.
    kind text NOT NULL  -- backup or webhook.
    alert_id bigint NOT NULL  -- The alert.
    transition_id bigint NOT NULL  -- The row of system_alert_events.
    requested_at timestamp with time zone NOT NULL  -- When the alert asked for it: in the transaction of the transition.
    run_at timestamp with time zone NOT NULL  -- Not before this time.
    state text NOT NULL DEFAULT 'waiting'::text  -- waiting, running, done, failed (for good) or skipped (too late, or the action is gone).
    attempts integer NOT NULL DEFAULT 0  -- Number of tries.
    lease uuid  -- The process that runs it.
    lease_until timestamp with time zone  -- Until when no other process may.
    finished_at timestamp with time zone  -- When it was done, failed or skipped.
    result text NOT NULL DEFAULT ''::text  -- The file, the answer, or why the last try failed.
    CONSTRAINT action_runs_action_transition_id_key UNIQUE (action, transition_id)
    CONSTRAINT action_runs_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT action_runs_pkey PRIMARY KEY (id)
    CONSTRAINT action_runs_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'done'::text, 'failed'::text, 'skipped'::text])))
    CREATE UNIQUE INDEX action_runs_action_transition_id_key ON public.action_runs USING btree (action, transition_id)
    CREATE INDEX action_runs_alert ON public.action_runs USING btree (alert_id)
    CREATE UNIQUE INDEX action_runs_pkey ON public.action_runs USING btree (id)
    CREATE INDEX action_runs_requested ON public.action_runs USING btree (action, requested_at DESC)
    CREATE INDEX action_runs_unfinished ON public.action_runs USING btree (kind, run_at) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]))

VIEW alert_events  -- Each transition of each alert.
    id bigint  -- Order of the transitions.
    alert_id bigint  -- The alert.
    time timestamp with time zone  -- When it happened.
    type text  -- opened, escalated, lowered, acknowledged, acknowledgement_expired, commented, suppressed, unsuppressed, resolved or reopened.
    level text  -- Level after the transition.
    value double precision  -- Value that led to the transition.
    threshold double precision  -- Limit of the level.
    actor text  -- Who did it: a key or user, or auto.
    comment text  -- Comment of the person, or the reason of the service.
 SELECT id,
    alert_id,
    "time",
    type,
    level,
    value,
    threshold,
    actor,
    comment
   FROM system_alert_events;

TABLE alert_rules  -- Rules, evaluated as one set once a minute; one rule covers every series that matches.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the rule.
    name text NOT NULL  -- Name of the rule, as in its alerts.
    kind text NOT NULL  -- How it decides: threshold, absence, change, ratio, composite, burn or sql.
    metric text  -- Metric it looks at; of kind sql, that of the answers; null of a composite.
    component text  -- Component it is limited to; null: any.
    category text  -- Category of its alerts; null: that of the series.
    agg text NOT NULL  -- Aggregate over the window: as in the history, without those of groups.
    window_s integer NOT NULL  -- Length of the window in seconds. Whole minutes read the 1m tier, others the samples.
    op text NOT NULL  -- How the aggregate is compared with the limit of a level.
    levels jsonb  -- Limit per level; null: the thresholds of the metric in monitoring_config.
    enabled boolean NOT NULL DEFAULT true  -- Whether it is evaluated.
    created_at timestamp with time zone NOT NULL DEFAULT now()  -- When it was made.
    updated_at timestamp with time zone NOT NULL DEFAULT now()  -- When it was last changed.
    labels jsonb NOT NULL DEFAULT '{}'::jsonb  -- Labels that a series must have to be covered.
    recovery jsonb  -- Value per level at which it is left; null: its limit.
    for_s integer NOT NULL DEFAULT 0  -- Seconds that the limit must be breached before the alert opens.
    keep_firing_for_s integer NOT NULL DEFAULT 0  -- Seconds that it must be clear before the alert resolves.
    no_data text NOT NULL DEFAULT 'keep'::text  -- When nothing was measured: keep what is, as if it were ok, or alert.
    on_error text NOT NULL DEFAULT 'keep'::text  -- When the rule cannot be evaluated: keep what is, as if it were ok, or alert.
    no_data_level text NOT NULL DEFAULT 'warning'::text  -- Level of an alert about no data or an error.
    escalate_after_s integer  -- Seconds without acknowledgement after which an alert goes up a level; null: never.
    flap_count integer NOT NULL DEFAULT 0  -- So many openings within flap_window_s are flapping; 0: nothing is.
    flap_window_s integer NOT NULL DEFAULT 3600  -- Window of flap_count; an alert that flaps stays open until it was clear for this long.
    over text  -- Of a ratio: the metric it is divided by.
    offset_s integer NOT NULL DEFAULT 0  -- Of a change: how far back it is compared with.
    is_relative boolean NOT NULL DEFAULT false  -- Of a change: whether it is measured in percent of what was.
    all_of text[] NOT NULL DEFAULT '{}'::text[]  -- Of a composite: rules of which each must fire.
    any_of text[] NOT NULL DEFAULT '{}'::text[]  -- Of a composite: rules of which one must fire.
    none_of text[] NOT NULL DEFAULT '{}'::text[]  -- Of a composite: rules of which none may fire.
    objective double precision  -- Of a burn rate: the availability that is promised, in percent.
    short_window_s integer  -- Of a burn rate: the window that says whether it still burns.
    sql text  -- Of kind sql: the query; its rows are stored as samples of the metric.
    runbook text  -- Where it says what to do.
    error text  -- Why it could not be evaluated the last time; null: it could.
    error_at timestamp with time zone  -- Since when it cannot be evaluated.
    updated_by text NOT NULL DEFAULT 'vigia'::text  -- Who last changed it; vigia: it is as built in.
    limits double precision[] DEFAULT level_limits(levels)  -- The limits of levels, the least severe first.
    recoveries double precision[] DEFAULT level_limits(recovery)  -- The values of recovery, the least severe first.
    by_component boolean NOT NULL DEFAULT false  -- Of a composite: whether it looks at each component alone.
    level text  -- Of a composite: level of its alerts; null: the most severe of the rules that fire.
    is_covered boolean NOT NULL DEFAULT false  -- Whether rule_series has the series that it reads, as they are now.
    tried_at timestamp with time zone  -- When it was last tried again; it counts only after error_at.
    CONSTRAINT alert_rules_agg_check CHECK ((agg = ANY (ARRAY['avg'::text, 'min'::text, 'max'::text, 'sum'::text, 'count'::text, 'first'::text, 'last'::text, 'stddev'::text, 'rate'::text, 'p50'::text, 'p90'::text, 'p95'::text, 'p99'::text])))
    CONSTRAINT alert_rules_check CHECK (((kind = 'sql'::text) = (sql IS NOT NULL)))
    CONSTRAINT alert_rules_check1 CHECK (((kind = 'burn'::text) = ((objective IS NOT NULL) AND (short_window_s IS NOT NULL))))
    CONSTRAINT alert_rules_check2 CHECK (((metric IS NOT NULL) OR (kind = 'composite'::text)))
    CONSTRAINT alert_rules_escalate_after_s_check CHECK ((escalate_after_s > 0))
    CONSTRAINT alert_rules_flap_count_check CHECK (((flap_count >= 0) AND (flap_count <= 100)))
    CONSTRAINT alert_rules_flap_window_s_check CHECK ((flap_window_s > 0))
    CONSTRAINT alert_rules_for_s_check CHECK ((for_s >= 0))
    CONSTRAINT alert_rules_keep_firing_for_s_check CHECK ((keep_firing_for_s >= 0))
    CONSTRAINT alert_rules_kind_check CHECK ((kind = ANY (ARRAY['threshold'::text, 'absence'::text, 'change'::text, 'ratio'::text, 'composite'::text, 'burn'::text, 'sql'::text])))
    CONSTRAINT alert_rules_labels_check CHECK ((jsonb_typeof(labels) = 'object'::text))
    CONSTRAINT alert_rules_level_check CHECK ((level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text, 'emergency'::text])))
    CONSTRAINT alert_rules_name_key UNIQUE (name)
    CONSTRAINT alert_rules_no_data_check CHECK ((no_data = ANY (ARRAY['keep'::text, 'ok'::text, 'alert'::text])))
    CONSTRAINT alert_rules_no_data_level_check CHECK ((no_data_level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text, 'emergency'::text])))
    CONSTRAINT alert_rules_objective_check CHECK (((objective > (0)::double precision) AND (objective < (100)::double precision)))
    CONSTRAINT alert_rules_offset_s_check CHECK (((offset_s >= 0) AND ((offset_s % 60) = 0)))
    CONSTRAINT alert_rules_on_error_check CHECK ((on_error = ANY (ARRAY['keep'::text, 'ok'::text, 'alert'::text])))
    CONSTRAINT alert_rules_op_check CHECK ((op = ANY (ARRAY['>'::text, '>='::text, '<'::text, '<='::text])))
    CONSTRAINT alert_rules_pkey PRIMARY KEY (id)
    CONSTRAINT alert_rules_window_s_check CHECK (((window_s >= 1) AND (window_s <= 604800)))
    CREATE INDEX alert_rules_composite ON public.alert_rules USING btree (id) WHERE (kind = 'composite'::text)
    CREATE INDEX alert_rules_error ON public.alert_rules USING btree (error_at) WHERE (error IS NOT NULL)
    CREATE INDEX alert_rules_everywhere ON public.alert_rules USING btree (metric) WHERE (component IS NULL)
    CREATE INDEX alert_rules_long ON public.alert_rules USING btree (window_s) WHERE (window_s > 600)
    CREATE UNIQUE INDEX alert_rules_name_key ON public.alert_rules USING btree (name)
    CREATE UNIQUE INDEX alert_rules_pkey ON public.alert_rules USING btree (id)
    CREATE INDEX alert_rules_uncovered ON public.alert_rules USING btree (id) WHERE (NOT is_covered)

TABLE alert_silences  -- Alerts of which nobody wants to be told for a while; ended ones stay.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the silence; it holds alerts as silence:<number>.
    matcher jsonb NOT NULL  -- Which alerts: rule, component, category and level as a value or an array of some, and labels.
    starts_at timestamp with time zone NOT NULL  -- From when on it holds.
    ends_at timestamp with time zone NOT NULL  -- Until when it holds.
    comment text NOT NULL  -- Why.
    created_at timestamp with time zone NOT NULL  -- When it was made.
    created_by text NOT NULL  -- Who made it.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed, or ended early.
    updated_by text NOT NULL  -- Who did that.
    CONSTRAINT alert_silences_check CHECK ((ends_at >= starts_at))
    CONSTRAINT alert_silences_matcher_check CHECK (((jsonb_typeof(matcher) = 'object'::text) AND (matcher <> '{}'::jsonb)))
    CONSTRAINT alert_silences_pkey PRIMARY KEY (id)
    CREATE INDEX alert_silences_ends_at ON public.alert_silences USING btree (ends_at)
    CREATE UNIQUE INDEX alert_silences_pkey ON public.alert_silences USING btree (id)

TABLE alert_states  -- State of each rule with each instance (component and labels); no row: all is well.
    rule_id integer NOT NULL  -- The rule.
    component text NOT NULL  -- Component of the instance; empty for one that belongs to none.
    labels jsonb NOT NULL  -- Labels of the instance.
    phase text NOT NULL  -- ok, pending or firing.
    since timestamp with time zone  -- Since when it is pending, without the time in which nobody looked; or when it fired.
    clear_since timestamp with time zone  -- Since when a firing one is clear and would resolve, if keep_firing_for did not keep it.
    missing_since timestamp with time zone  -- The last minute that had data, while there is none and the state is kept.
    value_rank integer NOT NULL  -- Level that the value asks for: 0 none, 1 info to 4 emergency.
    floor_rank integer NOT NULL  -- Level that it was raised to because nobody acknowledged it.
    raised_at timestamp with time zone  -- When its level last rose.
    acknowledged boolean NOT NULL  -- Whether someone took it on.
    opens timestamp with time zone[] NOT NULL  -- When it last opened, as often as flapping is counted.
    is_flapping boolean NOT NULL  -- Whether it opened so often that it must be clear for long.
    alert_id bigint  -- Its open alert.
    CONSTRAINT alert_states_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE SET NULL
    CONSTRAINT alert_states_phase_check CHECK ((phase = ANY (ARRAY['ok'::text, 'pending'::text, 'firing'::text])))
    CONSTRAINT alert_states_pkey PRIMARY KEY (rule_id, component, labels)
    CONSTRAINT alert_states_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES alert_rules(id) ON DELETE CASCADE
    CREATE INDEX alert_states_alert ON public.alert_states USING btree (alert_id) WHERE (alert_id IS NOT NULL)
    CREATE UNIQUE INDEX alert_states_pkey ON public.alert_states USING btree (rule_id, component, labels)

VIEW alerts  -- Alerts, open and past.
    id bigint  -- Number of the alert.
    rule text  -- Name of the rule that raised it.
    level text  -- info, warning, critical or emergency.
    category text  -- system, trading, database, external or security.
    component text  -- Component of the series.
    labels jsonb  -- Labels that distinguish the series of a metric.
    title text  -- What is wrong, in a few words.
    message text  -- Measured value and limit.
    value double precision  -- The value.
    threshold double precision  -- Limit of the level.
    state text  -- firing, acknowledged or resolved.
    opened_at timestamp with time zone  -- When it was raised.
    acknowledged_at timestamp with time zone  -- When it was acknowledged.
    acknowledged_by text  -- Who acknowledged it.
    resolved_at timestamp with time zone  -- When it ended.
    resolved_by text  -- Who ended it: a key or user, or auto.
    suppressed_by text[]  -- The cause that suppresses its notifications, now or at its end: silence:3, maintenance:backup, dependency:database.
    is_flapping boolean  -- Whether it opened because its rule is flapping.
 SELECT id,
    rule,
    level,
    category,
    component,
    labels,
    title,
    message,
    value,
    threshold,
    state,
    opened_at,
    acknowledged_at,
    acknowledged_by,
    resolved_at,
    resolved_by,
    suppressed_by,
    is_flapping
   FROM system_alerts;

TABLE api_keys  -- Keys of programs and people; only a hash of each is kept.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the key.
    name text NOT NULL  -- Name of its holder, as in every audit.
    role text NOT NULL  -- ingest, viewer, operator or admin.
    hash bytea NOT NULL  -- SHA-256 of the whole key.
    prefix text NOT NULL  -- First characters, to recognise it.
    created_at timestamp with time zone NOT NULL  -- When it was made.
    created_by text NOT NULL  -- Who made it.
    revoked_at timestamp with time zone  -- When it stopped being valid; null: it is valid.
    component text  -- The only component that an ingest key writes; null: any.
    labels jsonb NOT NULL DEFAULT '{}'::jsonb  -- Labels of every series that an ingest key writes.
    CONSTRAINT api_keys_bound_check CHECK (((role = 'ingest'::text) OR ((component IS NULL) AND (labels = '{}'::jsonb))))
    CONSTRAINT api_keys_hash_key UNIQUE (hash)
    CONSTRAINT api_keys_pkey PRIMARY KEY (id)
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['ingest'::text, 'viewer'::text, 'operator'::text, 'admin'::text])))
    CREATE UNIQUE INDEX api_keys_hash_key ON public.api_keys USING btree (hash)
    CREATE UNIQUE INDEX api_keys_name ON public.api_keys USING btree (name) WHERE (revoked_at IS NULL)
    CREATE UNIQUE INDEX api_keys_pkey ON public.api_keys USING btree (id)

TABLE built_in_rules  -- Built-in rules, each inserted once; what people make of them afterwards stays.
    name text NOT NULL  -- Name of the rule in the program.
    CONSTRAINT built_in_rules_pkey PRIMARY KEY (name)
    CREATE UNIQUE INDEX built_in_rules_pkey ON public.built_in_rules USING btree (name)

TABLE calendar_feeds  -- Addresses at which a calendar reads a schedule, or the shifts of a person, without a key.
    token_hash bytea NOT NULL  -- SHA-256 of the token in the address.
    schedule_id bigint  -- The schedule that is read; null: those of a person.
    contact_id bigint  -- The person whose shifts are read; null: those of a schedule.
    created_at timestamp with time zone NOT NULL  -- When it was made.
    created_by text NOT NULL  -- Who made it.
    CONSTRAINT calendar_feeds_check CHECK ((num_nonnulls(schedule_id, contact_id) = 1))
    CONSTRAINT calendar_feeds_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contacts(id) ON DELETE CASCADE
    CONSTRAINT calendar_feeds_contact_id_key UNIQUE (contact_id)
    CONSTRAINT calendar_feeds_pkey PRIMARY KEY (token_hash)
    CONSTRAINT calendar_feeds_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES schedules(id) ON DELETE CASCADE
    CONSTRAINT calendar_feeds_schedule_id_key UNIQUE (schedule_id)
    CREATE UNIQUE INDEX calendar_feeds_contact_id_key ON public.calendar_feeds USING btree (contact_id)
    CREATE UNIQUE INDEX calendar_feeds_pkey ON public.calendar_feeds USING btree (token_hash)
    CREATE UNIQUE INDEX calendar_feeds_schedule_id_key ON public.calendar_feeds USING btree (schedule_id)

VIEW catalogue  -- Every series, with its newest value.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    resolution double precision  -- Power of two to which values are rounded before they are stored; null: not rounded.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    last_value double precision  -- The newest value.
    series_id integer  -- Number of the series.
 SELECT s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    s.resolution,
    t.first_time,
    t.last_time,
    t.last_value,
    s.id AS series_id
   FROM (series s
     LEFT JOIN series_state t ON ((t.series_id = s.id)));

TABLE channels  -- Where messages go: a webhook, a mailbox, a chat.
    id bigint NOT NULL  -- Number of the channel.
    name text NOT NULL  -- Unique name.
    title text NOT NULL DEFAULT ''::text  -- What people call it.
    type text NOT NULL  -- webhook, email, slack and so on.
    url text NOT NULL  -- Address, encrypted by VIGIA_SECRET_KEY; empty: none.
    secret text NOT NULL  -- Key, token or password, encrypted by VIGIA_SECRET_KEY; empty: none.
    settings jsonb NOT NULL DEFAULT '{}'::jsonb  -- The fields of its type, none of them secret.
    min_level text NOT NULL DEFAULT 'warning'::text  -- Lowest level of an alert that is sent.
    language text NOT NULL DEFAULT 'en'::text  -- Language of its messages: en or pt-BR.
    tz text NOT NULL DEFAULT 'UTC'::text  -- Time zone of the times in its messages.
    enabled boolean NOT NULL DEFAULT true  -- Whether anything is sent.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT channels_min_level_check CHECK ((min_level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text, 'emergency'::text])))
    CONSTRAINT channels_name_key UNIQUE (name)
    CONSTRAINT channels_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX channels_name_key ON public.channels USING btree (name)
    CREATE UNIQUE INDEX channels_pkey ON public.channels USING btree (id)

VIEW checks  -- Each check of each component.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    component text  -- Component of the series.
    status text  -- healthy, warning, critical or down; null: not observed.
    stands_for_s double precision  -- Seconds from time on that the check covers.
    reason text  -- Why it is not healthy.
 SELECT "time",
    component,
    status,
    stands_for_s,
    reason
   FROM component_checks;

HYPERTABLE component_checks  -- One row per component and check.
    time timestamp with time zone NOT NULL  -- When it was checked: the start of the slot the row stands for.
    component text NOT NULL  -- The component.
    status text  -- What the check found; null: not observed.
    stands_for_s double precision NOT NULL  -- Seconds from time on that the row speaks for.
    reason text NOT NULL DEFAULT ''::text  -- Why it is not healthy.
    CONSTRAINT component_checks_pkey PRIMARY KEY (component, "time")
    CREATE UNIQUE INDEX component_checks_pkey ON public.component_checks USING btree (component, "time")
    CREATE INDEX component_checks_time ON public.component_checks USING btree ("time")

TABLE component_status  -- Present state of each component.
    component text NOT NULL  -- The component.
    category text NOT NULL  -- Category of the component.
    status text  -- healthy, warning, critical or down; null: not observed.
    since timestamp with time zone NOT NULL  -- When the status became what it is.
    reason text NOT NULL DEFAULT ''::text  -- Why it is not healthy.
    maintenance boolean NOT NULL DEFAULT false  -- Whether planned work is going on.
    last_check timestamp with time zone NOT NULL  -- Time of the newest check.
    uptime_24h double precision  -- Share of the observed part of the last 24 h in which it was not down, in percent.
    CONSTRAINT component_status_pkey PRIMARY KEY (component)
    CONSTRAINT component_status_status_check CHECK ((status = ANY (ARRAY['healthy'::text, 'warning'::text, 'critical'::text, 'down'::text])))
    CREATE UNIQUE INDEX component_status_pkey ON public.component_status USING btree (component)

CONTINUOUS AGGREGATE component_uptime_1h  -- Seconds per component, hour and status.
    component text  -- The component.
    bucket timestamp with time zone  -- Start of the hour.
    checks bigint  -- Number of checks.
    healthy_s double precision  -- Seconds healthy; null: none.
    warning_s double precision  -- Seconds in warning; null: none.
    critical_s double precision  -- Seconds critical; null: none.
    down_s double precision  -- Seconds down; null: none.
 SELECT component,
    time_bucket('01:00:00'::interval, "time") AS bucket,
    count(*) AS checks,
    sum(stands_for_s) FILTER (WHERE (status = 'healthy'::text)) AS healthy_s,
    sum(stands_for_s) FILTER (WHERE (status = 'warning'::text)) AS warning_s,
    sum(stands_for_s) FILTER (WHERE (status = 'critical'::text)) AS critical_s,
    sum(stands_for_s) FILTER (WHERE (status = 'down'::text)) AS down_s
   FROM component_checks
  GROUP BY component, (time_bucket('01:00:00'::interval, "time"));

VIEW components  -- Present state of each component.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    status text  -- healthy, warning, critical or down; null: not observed.
    since timestamp with time zone  -- Time of the last change of status.
    reason text  -- Why it is not healthy.
    maintenance boolean  -- Whether a maintenance window is active.
    last_check timestamp with time zone  -- Time of the newest check.
    uptime_24h double precision  -- Percentage of the observed time of the last 24 h in which it was not down.
 SELECT component,
    category,
    status,
    since,
    reason,
    maintenance,
    last_check,
    uptime_24h
   FROM component_status;

TABLE contact_addresses  -- Where a contact is reached: an address within a channel.
    contact_id bigint NOT NULL  -- The contact.
    channel_id bigint NOT NULL  -- The channel that carries the messages; it cannot be deleted.
    address text NOT NULL  -- Mail address, phone number and the like, as the channel's type has it; empty: the channel's own.
    position integer NOT NULL  -- Order of the addresses of a contact, from 1.
    verified_at timestamp with time zone  -- When the contact proved to read it; null: not yet.
    code_id bytea  -- What the code that was sent last is made of, with VIGIA_SECRET_KEY; null: none waits.
    code_sent_at timestamp with time zone  -- When a code was last sent.
    code_tries integer NOT NULL DEFAULT 0  -- Wrong codes since then.
    CONSTRAINT contact_addresses_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id)
    CONSTRAINT contact_addresses_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contacts(id) ON DELETE CASCADE
    CONSTRAINT contact_addresses_pkey PRIMARY KEY (contact_id, channel_id, address)
    CREATE INDEX contact_addresses_channel ON public.contact_addresses USING btree (channel_id)
    CREATE UNIQUE INDEX contact_addresses_pkey ON public.contact_addresses USING btree (contact_id, channel_id, address)

TABLE contacts  -- People who are told of alerts.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the contact, in the order in which they were made.
    name text NOT NULL  -- Unique name; it never changes.
    title text NOT NULL DEFAULT ''::text  -- The person's own name.
    tz text NOT NULL DEFAULT 'UTC'::text  -- Time zone of the times in messages, and of quiet_hours.
    language text NOT NULL DEFAULT 'en'::text  -- Language of messages: en or pt-BR.
    mute_until timestamp with time zone  -- Nothing is sent before this time; null: everything is.
    quiet_hours jsonb NOT NULL DEFAULT '[]'::jsonb  -- Hours in which messages wait: a list of {weekdays, start, end}, on the clocks of tz.
    quiet_min_level text NOT NULL DEFAULT 'critical'::text  -- Alerts of at least this level are sent in quiet_hours too.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT contacts_name_key UNIQUE (name)
    CONSTRAINT contacts_pkey PRIMARY KEY (id)
    CONSTRAINT contacts_quiet_min_level_check CHECK ((quiet_min_level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text, 'emergency'::text])))
    CREATE UNIQUE INDEX contacts_name_key ON public.contacts USING btree (name)
    CREATE UNIQUE INDEX contacts_pkey ON public.contacts USING btree (id)

VIEW counters_1d  -- Increase of counters by UTC day.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values before each restart of the counter.
    increase double precision  -- Increase from the first value to the last, including restarts; rate() adds the increase between buckets.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.first_time,
    r.last_time,
    r.first,
    r.last,
    r.resets,
    ((r.last - r.first) + r.resets) AS increase,
    r.series_id
   FROM (system_counters_1d r
     JOIN series s ON ((s.id = r.series_id)));

VIEW counters_1h  -- Increase of counters by hour.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values before each restart of the counter.
    increase double precision  -- Increase from the first value to the last, including restarts; rate() adds the increase between buckets.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.first_time,
    r.last_time,
    r.first,
    r.last,
    r.resets,
    ((r.last - r.first) + r.resets) AS increase,
    r.series_id
   FROM (system_counters_1h r
     JOIN series s ON ((s.id = r.series_id)));

VIEW counters_5m  -- Increase of counters by five minutes.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values before each restart of the counter.
    increase double precision  -- Increase from the first value to the last, including restarts; rate() adds the increase between buckets.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.first_time,
    r.last_time,
    r.first,
    r.last,
    r.resets,
    ((r.last - r.first) + r.resets) AS increase,
    r.series_id
   FROM (system_counters_5m r
     JOIN series s ON ((s.id = r.series_id)));

TABLE deliveries  -- One message to one address: what waits, what was sent, and what failed.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the delivery.
    key text NOT NULL  -- Idempotency key: the same on each try.
    notification_id bigint NOT NULL  -- What is said.
    alert_id bigint  -- The alert, if it is about one: what is said of one alert keeps its order.
    channel_id bigint  -- The channel; null once it was deleted, and of a canary.
    channel text NOT NULL  -- Name of the channel at that time.
    address text NOT NULL DEFAULT ''::text  -- Address within the channel; empty: the channel's own.
    person text  -- Contact that it is for; null: nobody in particular.
    step integer NOT NULL DEFAULT 0  -- Step of an escalation policy, from 1; 0 without a policy.
    priority smallint NOT NULL  -- Lower goes first: 0 test, 1 on-call, 2 first message of an alert, 3 others.
    state text NOT NULL DEFAULT 'pending'::text  -- pending, grouped (another delivery carries it), sent, failed (for good) or skipped (out of date when a pause ended).
    attempts integer NOT NULL DEFAULT 0  -- Number of tries.
    created_at timestamp with time zone NOT NULL  -- When it was decided: the time of the commit's transaction; the end of quiet hours, if it waited for that.
    attempted_at timestamp with time zone  -- When it was last tried.
    next_at timestamp with time zone NOT NULL  -- Not before this time.
    sent_at timestamp with time zone  -- When the provider took it.
    status integer  -- HTTP status or SMTP code of the last answer.
    answer text  -- Beginning of the last answer.
    last_error text  -- Why the last try failed, or why it was skipped.
    reference text  -- What the provider calls the message.
    group_id bigint  -- The delivery that carries it with others.
    notification_group_id bigint  -- The group of a route, if one sends it: its messages keep their order.
    duration_s double precision  -- How long the last try took; null: it was not tried, or another delivery carried it.
    CONSTRAINT deliveries_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE SET NULL
    CONSTRAINT deliveries_group_id_fkey FOREIGN KEY (group_id) REFERENCES deliveries(id) ON DELETE SET NULL
    CONSTRAINT deliveries_key_key UNIQUE (key)
    CONSTRAINT deliveries_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES notifications(id) ON DELETE CASCADE
    CONSTRAINT deliveries_pkey PRIMARY KEY (id)
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'grouped'::text, 'sent'::text, 'failed'::text, 'skipped'::text])))
    CREATE INDEX deliveries_attempted ON public.deliveries USING btree (channel_id, address, attempted_at DESC) WHERE (attempted_at IS NOT NULL)
    CREATE INDEX deliveries_group ON public.deliveries USING btree (group_id) WHERE (group_id IS NOT NULL)
    CREATE UNIQUE INDEX deliveries_key_key ON public.deliveries USING btree (key)
    CREATE INDEX deliveries_notification ON public.deliveries USING btree (notification_id)
    CREATE INDEX deliveries_pending ON public.deliveries USING btree (channel_id, address, priority, id) WHERE (state = 'pending'::text)
    CREATE INDEX deliveries_pending_of_alert ON public.deliveries USING btree (channel_id, address, alert_id, id) WHERE (state = 'pending'::text)
    CREATE INDEX deliveries_pending_of_group ON public.deliveries USING btree (channel_id, address, notification_group_id, id) WHERE ((state = 'pending'::text) AND (notification_group_id IS NOT NULL))
    CREATE UNIQUE INDEX deliveries_pkey ON public.deliveries USING btree (id)

TABLE delivery_addresses  -- Each address that something was ever sent to: one process at a time serves it, in order.
    channel_id bigint NOT NULL  -- The channel.
    address text NOT NULL DEFAULT ''::text  -- Address within the channel; empty: the channel's own.
    retry_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- After a failure: not before this time.
    failures integer NOT NULL DEFAULT 0  -- Failures in a row.
    lease uuid  -- The process that serves it; null: none.
    lease_until timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- Until when no other process may.
    served_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- When it was last served: who waited longest is next.
    CONSTRAINT delivery_addresses_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE
    CONSTRAINT delivery_addresses_pkey PRIMARY KEY (channel_id, address)
    CREATE UNIQUE INDEX delivery_addresses_pkey ON public.delivery_addresses USING btree (channel_id, address)

VIEW delivery_log  -- Each message to one address: sent, waiting or failed.
    id bigint  -- Number of the delivery.
    key text  -- Idempotency key: the same on each try.
    kind text  -- alert, incident, maintenance, on_call, account, report, events (of the bus) or test.
    event text  -- opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended or code.
    alert_id bigint  -- The alert, if it is about one.
    channel text  -- Name of the channel at that time.
    address text  -- Address within the channel, with its middle left out; empty: the channel's own.
    person text  -- Contact that it is for; null: nobody in particular.
    step integer  -- Step of an escalation policy, from 1; 0 without a policy.
    state text  -- pending, grouped (another delivery carries it), sent, failed (for good) or skipped (out of date after a pause).
    attempts integer  -- Number of tries.
    created_at timestamp with time zone  -- When it was decided.
    attempted_at timestamp with time zone  -- When it was last tried; null: not yet, or another delivery carried it.
    next_at timestamp with time zone  -- Not before this time.
    sent_at timestamp with time zone  -- When the provider took it.
    duration_s double precision  -- Seconds that the last try took.
    status integer  -- HTTP status or SMTP code of the last answer.
    last_error text  -- Why the last try failed.
    group_id bigint  -- The delivery that carries it with others.
 SELECT d.id,
    d.key,
    n.kind,
    n.event,
    n.alert_id,
    d.channel,
    masked_address(d.address) AS address,
    d.person,
    d.step,
    d.state,
    d.attempts,
    d.created_at,
    d.attempted_at,
    d.next_at,
    d.sent_at,
    d.duration_s,
    d.status,
    d.last_error,
    d.group_id
   FROM (deliveries d
     JOIN notifications n ON ((n.id = d.notification_id)))
  WHERE (n.kind <> 'canary'::text);

VIEW distributions_1d  -- Values of distributions by UTC day, counted in buckets whose bounds grow by 2 percent.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    log_bucket integer  -- Number of the bucket, in the order of the values; percentile() reads it.
    value double precision  -- Representative value of the bucket: within 1 percent of each value in it.
    count bigint  -- Number of values in the bucket.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.log_bucket,
    log_bucket_value(r.log_bucket) AS value,
    r.count,
    r.series_id
   FROM (system_distributions_1d r
     JOIN series s ON ((s.id = r.series_id)));

VIEW distributions_1h  -- Values of distributions by hour, counted in buckets whose bounds grow by 2 percent.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    log_bucket integer  -- Number of the bucket, in the order of the values; percentile() reads it.
    value double precision  -- Representative value of the bucket: within 1 percent of each value in it.
    count bigint  -- Number of values in the bucket.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.log_bucket,
    log_bucket_value(r.log_bucket) AS value,
    r.count,
    r.series_id
   FROM (system_distributions_1h r
     JOIN series s ON ((s.id = r.series_id)));

VIEW distributions_5m  -- Values of distributions by five minutes, counted in buckets whose bounds grow by 2 percent.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    log_bucket integer  -- Number of the bucket, in the order of the values; percentile() reads it.
    value double precision  -- Representative value of the bucket: within 1 percent of each value in it.
    count bigint  -- Number of values in the bucket.
    series_id integer  -- Number of the series.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    r.log_bucket,
    log_bucket_value(r.log_bucket) AS value,
    r.count,
    r.series_id
   FROM (system_distributions_5m r
     JOIN series s ON ((s.id = r.series_id)));

TABLE escalations  -- Alerts that go through the steps of a policy.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the escalation.
    alert_id bigint NOT NULL  -- The alert.
    transition_id bigint NOT NULL  -- The row of system_alert_events that began it: that it opened, for instance.
    route text NOT NULL  -- Name of the route that began it.
    policy jsonb NOT NULL  -- The policy as it was then.
    acknowledgement_expires_s integer NOT NULL  -- Seconds until an acknowledgement ends, by the policy; 0: it never does.
    started_at timestamp with time zone NOT NULL  -- When the first step is due.
    acknowledged_at timestamp with time zone[] NOT NULL  -- Each acknowledgement of the alert since it opened.
    taken text[] NOT NULL DEFAULT '{}'::text[]  -- Keys of the steps that were taken, such as 0.1.2: after no expired acknowledgement, in round 1, step 2.
    next_at timestamp with time zone  -- When the next step is due; null: there is none unless the alert is acknowledged.
    stopped_at timestamp with time zone  -- When the alert was resolved or suppressed; null: it is neither.
    CONSTRAINT escalations_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT escalations_pkey PRIMARY KEY (id)
    CREATE INDEX escalations_alert ON public.escalations USING btree (alert_id)
    CREATE INDEX escalations_next_at ON public.escalations USING btree (next_at) WHERE ((stopped_at IS NULL) AND (next_at IS NOT NULL))
    CREATE UNIQUE INDEX escalations_pkey ON public.escalations USING btree (id)

TABLE evaluation_clock  -- The newest minute that was evaluated, in one row: a transaction that changes alerts locks it.
    one boolean NOT NULL DEFAULT true  -- There is one row.
    evaluated_at timestamp with time zone  -- The minute; what lies between it and the next is an evaluation gap.
    CONSTRAINT evaluation_clock_one_check CHECK (one)
    CONSTRAINT evaluation_clock_pkey PRIMARY KEY (one)
    CREATE UNIQUE INDEX evaluation_clock_pkey ON public.evaluation_clock USING btree (one)

TABLE evaluation_gaps  -- Minutes that were never evaluated: the service was off, or late, or the clock was set forward. They do not overlap.
    start_time timestamp with time zone NOT NULL  -- The first such minute.
    end_time timestamp with time zone NOT NULL  -- The minute that was evaluated next.
    CONSTRAINT evaluation_gaps_check CHECK ((end_time > start_time))
    CONSTRAINT evaluation_gaps_pkey PRIMARY KEY (start_time)
    CREATE UNIQUE INDEX evaluation_gaps_pkey ON public.evaluation_gaps USING btree (start_time)

TABLE event_counter  -- The newest event number, in one row.
    one boolean NOT NULL DEFAULT true  -- There is one row.
    seq bigint NOT NULL  -- Number of the newest event.
    CONSTRAINT event_counter_one_check CHECK (one)
    CONSTRAINT event_counter_pkey PRIMARY KEY (one)
    CREATE UNIQUE INDEX event_counter_pkey ON public.event_counter USING btree (one)

TABLE event_cursors  -- How far each enabled channel of the type events has followed the bus.
    channel_id bigint NOT NULL  -- The channel.
    seq bigint NOT NULL  -- The newest event that the outbox has, or that the channel does not want.
    CONSTRAINT event_cursors_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id) ON DELETE CASCADE
    CONSTRAINT event_cursors_pkey PRIMARY KEY (channel_id)
    CREATE UNIQUE INDEX event_cursors_pkey ON public.event_cursors USING btree (channel_id)

TABLE events  -- Transitions of alerts and health, and the security audit, in the order of their commits; live clients resume from it.
    seq bigint NOT NULL  -- Order of commits; grows, and may have gaps.
    time timestamp with time zone NOT NULL  -- When it happened.
    type text NOT NULL  -- alerts, alert_resolved or health as live clients receive them, or security. and a type of security_events, for channels.
    payload jsonb NOT NULL  -- The data of the message as clients and channels receive it.
    CONSTRAINT events_pkey PRIMARY KEY (seq)
    CREATE UNIQUE INDEX events_pkey ON public.events USING btree (seq)
    CREATE INDEX events_time ON public.events USING btree ("time")

TYPE history_row  -- A bucket of history().
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    component text  -- Component of the series.
    labels jsonb  -- Labels that distinguish the series of a metric.
    avg double precision  -- Mean of the samples: sum / count.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    sum double precision  -- Sum of the values.
    count bigint  -- Number of samples.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    stddev double precision  -- Population standard deviation of samples; null: the roll-up is older than this column.

TABLE host_clock  -- One row: from when on silence counts. It starts anew whenever nobody judged for a while.
    one boolean NOT NULL DEFAULT true  -- Always true.
    judged_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- When silence was last judged.
    counting_since timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- Silence before this time does not count: the service was off, or the database away.
    CONSTRAINT host_clock_one_check CHECK (one)
    CONSTRAINT host_clock_pkey PRIMARY KEY (one)
    CREATE UNIQUE INDEX host_clock_pkey ON public.host_clock USING btree (one)

TABLE host_state  -- What sends samples: one row for each value of the label host, and for each component that sends without it.
    name text NOT NULL  -- The value of the label host, or the component.
    kind text NOT NULL  -- host or component.
    component text NOT NULL  -- The component of its first sample.
    last_seen timestamp with time zone NOT NULL  -- Time of the newest live sample.
    live_samples bigint NOT NULL  -- How many live samples it has sent, at different times, since it appeared or was removed.
    usual_interval_s double precision  -- Usual seconds between two live samples; null: not known yet.
    silent_since timestamp with time zone  -- Its last_seen when it was judged silent; null: it sends, or has not been silent long enough.
    returned_at timestamp with time zone  -- When it was last judged to send again.
    removed_at timestamp with time zone  -- When somebody removed it; null: it was not removed, or has sent since.
    CONSTRAINT host_state_kind_check CHECK ((kind = ANY (ARRAY['host'::text, 'component'::text])))
    CONSTRAINT host_state_pkey PRIMARY KEY (name, kind)
    CREATE UNIQUE INDEX host_state_pkey ON public.host_state USING btree (name, kind)

VIEW hosts  -- What sends samples, and when it was last seen.
    name text  -- Value of the label host, or the component that sends without it.
    kind text  -- host or component.
    component text  -- The component of its first sample.
    last_seen timestamp with time zone  -- Time of the newest live sample.
    usual_interval_s double precision  -- Usual seconds between two live samples; null: not known yet.
    silent_since timestamp with time zone  -- Its last_seen if it stopped sending; null: it sends.
 SELECT name,
    kind,
    component,
    last_seen,
    usual_interval_s,
    silent_since
   FROM host_state
  WHERE (removed_at IS NULL);

TABLE late_ranges  -- Ranges that got samples after their aggregates were refreshed; the next maintenance takes them.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Order of arrival.
    start_time timestamp with time zone NOT NULL  -- Oldest late sample of a batch.
    end_time timestamp with time zone NOT NULL  -- Newest late sample of a batch.
    CONSTRAINT late_ranges_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX late_ranges_pkey ON public.late_ranges USING btree (id)

TABLE late_samples  -- Samples that were stored when the evaluation of alerts had already looked at their minute.
    series_id integer NOT NULL  -- The series.
    day date NOT NULL  -- The day, in UTC, that the samples are of.
    start_time timestamp with time zone NOT NULL  -- Time of the oldest of them.
    end_time timestamp with time zone NOT NULL  -- Time of the newest of them.
    arrived_at timestamp with time zone NOT NULL  -- When the last of them was stored.
    samples bigint NOT NULL  -- How many there are; of a batch that filled gaps between samples that it sent again, all are counted.
    CONSTRAINT late_samples_pkey PRIMARY KEY (series_id, day)
    CONSTRAINT late_samples_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(id) ON DELETE CASCADE
    CREATE UNIQUE INDEX late_samples_pkey ON public.late_samples USING btree (series_id, day)

TABLE maintenance_runs  -- Each run of the maintenance. One that never finished was interrupted, and says where.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Order of the runs.
    started_at timestamp with time zone NOT NULL  -- When it began.
    finished_at timestamp with time zone  -- When it ended well; null: it runs, or was interrupted.
    step text NOT NULL  -- Step it is at, or ended with.
    refreshed integer NOT NULL DEFAULT 0  -- Tiers refreshed.
    compressed integer NOT NULL DEFAULT 0  -- Chunks compressed.
    dropped integer NOT NULL DEFAULT 0  -- Chunks dropped.
    error text  -- Why it failed.
    late_from timestamp with time zone NOT NULL DEFAULT 'infinity'::timestamp with time zone  -- Oldest late sample that the run rolled up; infinity: none was late.
    CONSTRAINT maintenance_runs_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX maintenance_runs_pkey ON public.maintenance_runs USING btree (id)

TABLE maintenance_windows  -- Planned work, once or again and again: nobody is told of what it covers.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the window.
    name text NOT NULL  -- Name of the window; it holds alerts as maintenance:<name>.
    matcher jsonb NOT NULL  -- Which alerts, as of a silence; empty: all.
    repeat text NOT NULL  -- once, daily, weekly or monthly.
    starts_at timestamp with time zone  -- When it begins; of a recurring one, from when on it recurs; null: always.
    ends_at timestamp with time zone  -- When it ends; of a recurring one, until when it recurs; null: for ever.
    tz text NOT NULL  -- Time zone of local_time, by its IANA name.
    local_time time without time zone  -- Of a recurring one: when it begins on its days.
    duration_s integer  -- Of a recurring one: how many seconds pass until it ends.
    weekdays text[] NOT NULL  -- Of a weekly one: its days, mon to sun.
    days integer[] NOT NULL  -- Of a monthly one: its days; one that a month has not is its last.
    comment text NOT NULL  -- What is done.
    enabled boolean NOT NULL  -- Whether it holds anything.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed.
    updated_by text NOT NULL  -- Who last changed it.
    removed_at timestamp with time zone  -- When it was ended for good, and its name became free; null: it goes on.
    CONSTRAINT maintenance_windows_check CHECK ((ends_at > starts_at))
    CONSTRAINT maintenance_windows_check1 CHECK (
CASE repeat
    WHEN 'once'::text THEN ((starts_at IS NOT NULL) AND (ends_at IS NOT NULL))
    ELSE ((local_time IS NOT NULL) AND (duration_s IS NOT NULL))
END)
    CONSTRAINT maintenance_windows_duration_s_check CHECK ((duration_s > 0))
    CONSTRAINT maintenance_windows_matcher_check CHECK ((jsonb_typeof(matcher) = 'object'::text))
    CONSTRAINT maintenance_windows_pkey PRIMARY KEY (id)
    CONSTRAINT maintenance_windows_repeat_check CHECK ((repeat = ANY (ARRAY['once'::text, 'daily'::text, 'weekly'::text, 'monthly'::text])))
    CONSTRAINT maintenance_windows_tz_check CHECK ((('1970-01-01 00:00:00+00'::timestamp with time zone AT TIME ZONE tz) IS NOT NULL))
    CONSTRAINT maintenance_windows_weekdays_check CHECK ((weekdays <@ ARRAY['mon'::text, 'tue'::text, 'wed'::text, 'thu'::text, 'fri'::text, 'sat'::text, 'sun'::text]))
    CREATE UNIQUE INDEX maintenance_windows_name ON public.maintenance_windows USING btree (name) WHERE (removed_at IS NULL)
    CREATE UNIQUE INDEX maintenance_windows_pkey ON public.maintenance_windows USING btree (id)

TABLE message_links  -- Links in messages that act without signing in, each once.
    id_hash bytea NOT NULL  -- SHA-256 of the id in the link: from the table nobody can make a link.
    action text NOT NULL  -- acknowledge or resolve.
    alert_id bigint NOT NULL  -- The alert that it acts on.
    person text NOT NULL  -- In whose name it acts.
    expires_at timestamp with time zone NOT NULL  -- Until when it acts.
    used_at timestamp with time zone  -- When it was used; null: not yet.
    CONSTRAINT message_links_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT message_links_pkey PRIMARY KEY (id_hash)
    CREATE INDEX message_links_alert ON public.message_links USING btree (alert_id)
    CREATE INDEX message_links_expires_at ON public.message_links USING btree (expires_at)
    CREATE UNIQUE INDEX message_links_pkey ON public.message_links USING btree (id_hash)

VIEW metrics  -- Samples with their names.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    value double precision  -- The value.
    series_id integer  -- Number of the series.
 SELECT m."time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    m.value,
    m.series_id
   FROM (system_metrics m
     JOIN series s ON ((s.id = m.series_id)));

VIEW metrics_1d  -- Roll-up by UTC day.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    avg double precision  -- Mean of the samples: sum / count.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    sum double precision  -- Sum of the values.
    count bigint  -- Number of samples.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    series_id integer  -- Number of the series.
    stddev double precision  -- Population standard deviation of samples; null: the roll-up is older than this column.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    (r.sum / (r.count)::double precision) AS avg,
    r.min,
    r.max,
    r.sum,
    r.count,
    r.first,
    r.last,
    r.series_id,
    stddev_of(r.m2, (r.count)::double precision) AS stddev
   FROM (system_metrics_1d r
     JOIN series s ON ((s.id = r.series_id)));

VIEW metrics_1h  -- Roll-up by hour.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    avg double precision  -- Mean of the samples: sum / count.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    sum double precision  -- Sum of the values.
    count bigint  -- Number of samples.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    series_id integer  -- Number of the series.
    stddev double precision  -- Population standard deviation of samples; null: the roll-up is older than this column.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    (r.sum / (r.count)::double precision) AS avg,
    r.min,
    r.max,
    r.sum,
    r.count,
    r.first,
    r.last,
    r.series_id,
    stddev_of(r.m2, (r.count)::double precision) AS stddev
   FROM (system_metrics_1h r
     JOIN series s ON ((s.id = r.series_id)));

VIEW metrics_1m  -- Roll-up by minute.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    avg double precision  -- Mean of the samples: sum / count.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    sum double precision  -- Sum of the values.
    count bigint  -- Number of samples.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    series_id integer  -- Number of the series.
    stddev double precision  -- Population standard deviation of samples; null: the roll-up is older than this column.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    (r.sum / (r.count)::double precision) AS avg,
    r.min,
    r.max,
    r.sum,
    r.count,
    r.first,
    r.last,
    r.series_id,
    stddev_of(r.m2, (r.count)::double precision) AS stddev
   FROM (system_metrics_1m r
     JOIN series s ON ((s.id = r.series_id)));

VIEW metrics_5m  -- Roll-up by five minutes.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    metric text  -- Name of the metric: subject, quantity, unit.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    labels jsonb  -- Labels that distinguish the series of a metric.
    unit text  -- Unit of the values.
    kind text  -- gauge, counter or distribution.
    avg double precision  -- Mean of the samples: sum / count.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    sum double precision  -- Sum of the values.
    count bigint  -- Number of samples.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    series_id integer  -- Number of the series.
    stddev double precision  -- Population standard deviation of samples; null: the roll-up is older than this column.
 SELECT r.bucket AS "time",
    s.metric,
    s.component,
    s.category,
    s.labels,
    s.unit,
    s.kind,
    (r.sum / (r.count)::double precision) AS avg,
    r.min,
    r.max,
    r.sum,
    r.count,
    r.first,
    r.last,
    r.series_id,
    stddev_of(r.m2, (r.count)::double precision) AS stddev
   FROM (system_metrics_5m r
     JOIN series s ON ((s.id = r.series_id)));

VIEW metrics_json  -- One document per component and time.
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    component text  -- Component of the series.
    category text  -- system, trading, database, external or security.
    metrics jsonb  -- Value by name of the series.
 SELECT m."time",
    s.component,
    s.category,
    jsonb_object_agg(series_name(s.metric, s.labels), m.value) AS metrics
   FROM (system_metrics m
     JOIN series s ON ((s.id = m.series_id)))
  GROUP BY m."time", s.component, s.category;

TABLE monitoring_config  -- Settings that were changed; the others have their defaults.
    key text NOT NULL  -- Name of the setting.
    value jsonb NOT NULL  -- Its value.
    updated_at timestamp with time zone NOT NULL  -- When it was changed.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT monitoring_config_pkey PRIMARY KEY (key)
    CREATE UNIQUE INDEX monitoring_config_pkey ON public.monitoring_config USING btree (key)

TABLE monitoring_config_history  -- Each change of a setting: the audit.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Order of the changes.
    key text NOT NULL  -- Name of the setting.
    old_value jsonb  -- Value before; null: the default.
    new_value jsonb  -- Value after; null: the default.
    changed_at timestamp with time zone NOT NULL  -- When.
    changed_by text NOT NULL  -- Who.
    CONSTRAINT monitoring_config_history_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX monitoring_config_history_pkey ON public.monitoring_config_history USING btree (id)

TABLE notification_group_members  -- Alerts of a group; one leaves when its end was sent.
    group_id bigint NOT NULL  -- The group.
    alert_id bigint NOT NULL  -- The alert.
    is_sent boolean NOT NULL DEFAULT false  -- Whether a message of the group had it.
    sent_to bigint NOT NULL  -- Number of the last notification of the alert that the group has dealt with.
    CONSTRAINT notification_group_members_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT notification_group_members_group_id_fkey FOREIGN KEY (group_id) REFERENCES notification_groups(id) ON DELETE CASCADE
    CONSTRAINT notification_group_members_pkey PRIMARY KEY (group_id, alert_id)
    CREATE INDEX notification_group_members_alert ON public.notification_group_members USING btree (alert_id)
    CREATE UNIQUE INDEX notification_group_members_pkey ON public.notification_group_members USING btree (group_id, alert_id)

TABLE notification_groups  -- Open alerts of a route that are sent together, and when.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the group; a group that ended and began again has another.
    route_id bigint NOT NULL  -- The route.
    key text NOT NULL  -- A hash of labels.
    labels jsonb NOT NULL  -- What its alerts have in common, by group_by of the route.
    first_at timestamp with time zone NOT NULL  -- When it was to be sent first; later messages are multiples of group_interval after it.
    next_at timestamp with time zone  -- When it is looked at next; null: not before one of its alerts changes.
    sent_at timestamp with time zone  -- When it was sent last; null: not yet.
    messages integer NOT NULL DEFAULT 0  -- How many messages it has had.
    CONSTRAINT notification_groups_pkey PRIMARY KEY (id)
    CONSTRAINT notification_groups_route_id_fkey FOREIGN KEY (route_id) REFERENCES routes(id) ON DELETE CASCADE
    CONSTRAINT notification_groups_route_id_key_key UNIQUE (route_id, key)
    CREATE INDEX notification_groups_next_at ON public.notification_groups USING btree (next_at) WHERE (next_at IS NOT NULL)
    CREATE UNIQUE INDEX notification_groups_pkey ON public.notification_groups USING btree (id)
    CREATE UNIQUE INDEX notification_groups_route_id_key_key ON public.notification_groups USING btree (route_id, key)

TABLE notification_pause  -- One row while nothing is sent; none otherwise.
    id boolean NOT NULL DEFAULT true  -- Always true: there is one row at most.
    paused_at timestamp with time zone NOT NULL  -- Since when nothing is sent.
    paused_by text NOT NULL  -- Who paused.
    reason text NOT NULL DEFAULT ''::text  -- Why.
    CONSTRAINT notification_pause_id_check CHECK (id)
    CONSTRAINT notification_pause_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX notification_pause_pkey ON public.notification_pause USING btree (id)

TABLE notifications  -- What is to be said: one row for each transition of an alert, test, or other news.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the notification; they are in the order of their transitions.
    kind text NOT NULL  -- alert, incident, maintenance, on_call, account, report, events (of the bus), test or canary (of the watchdog).
    event text NOT NULL  -- opened, escalated, lowered, acknowledged, resolved, reminder, group, test, shift_started, shift_ended, code, events or canary.
    time timestamp with time zone NOT NULL  -- When it happened.
    alert_id bigint  -- The alert, if it is about one.
    transition_id bigint  -- The row of system_alert_events; null where there is none, as in a group.
    payload jsonb NOT NULL  -- The alert as it was then, the alerts of a group by number, the seq of events, or what else the message is made from.
    CONSTRAINT notifications_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT notifications_pkey PRIMARY KEY (id)
    CONSTRAINT notifications_transition_id_key UNIQUE (transition_id)
    CREATE INDEX notifications_alert ON public.notifications USING btree (alert_id)
    CREATE UNIQUE INDEX notifications_pkey ON public.notifications USING btree (id)
    CREATE INDEX notifications_time ON public.notifications USING btree ("time")
    CREATE UNIQUE INDEX notifications_transition_id_key ON public.notifications USING btree (transition_id)

TABLE on_call_shifts  -- Who was on call, written as it happens; without a row nobody was.
    schedule_id bigint NOT NULL  -- The schedule.
    starts_at timestamp with time zone NOT NULL  -- From when on.
    ends_at timestamp with time zone NOT NULL  -- Until when; it grows while the shift goes on.
    people text[] NOT NULL  -- Names of the contacts, in order.
    CONSTRAINT on_call_shifts_check CHECK ((starts_at < ends_at))
    CONSTRAINT on_call_shifts_pkey PRIMARY KEY (schedule_id, starts_at)
    CONSTRAINT on_call_shifts_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES schedules(id) ON DELETE CASCADE
    CREATE INDEX on_call_shifts_ends_at ON public.on_call_shifts USING btree (schedule_id, ends_at)
    CREATE UNIQUE INDEX on_call_shifts_pkey ON public.on_call_shifts USING btree (schedule_id, starts_at)

TYPE percentile_row  -- A percentile in a bucket of percentiles().
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    component text  -- Component of the series.
    labels jsonb  -- Labels that distinguish the series of a metric.
    quantile double precision  -- From 0 to 1: 0.95 is the 95th percentile.
    value double precision  -- The value.

TABLE policies  -- Escalation policies: who is told of an alert one after the other, until somebody acknowledges it.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the policy, in the order in which they were made.
    name text NOT NULL  -- Unique name; it never changes.
    title text NOT NULL DEFAULT ''::text  -- What people call it.
    steps jsonb NOT NULL  -- List of {targets, delay}; a target is {kind, name} of a person, a schedule or a channel.
    repeat integer NOT NULL DEFAULT 0  -- How often the steps are taken again after the last.
    acknowledgement_expires_s integer NOT NULL DEFAULT 7200  -- Seconds until an acknowledgement ends; 0: it never does.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT policies_acknowledgement_expires_s_check CHECK ((acknowledgement_expires_s >= 0))
    CONSTRAINT policies_name_key UNIQUE (name)
    CONSTRAINT policies_pkey PRIMARY KEY (id)
    CONSTRAINT policies_repeat_check CHECK ((repeat >= 0))
    CONSTRAINT policies_steps_check CHECK ((jsonb_typeof(steps) = 'array'::text))
    CREATE UNIQUE INDEX policies_name_key ON public.policies USING btree (name)
    CREATE UNIQUE INDEX policies_pkey ON public.policies USING btree (id)

TYPE rate_row  -- A bucket of rate().
    time timestamp with time zone  -- Time of the measurement; in a roll-up, the start of the bucket.
    component text  -- Component of the series.
    labels jsonb  -- Labels that distinguish the series of a metric.
    increase double precision  -- Increase of the counter, including restarts.
    rate double precision  -- Increase per second; null: there is only one value.

TABLE replica_tokens  -- What each running process of Vigia wrote last, every 10 s. Rows of ended processes go after a day.
    replica uuid NOT NULL  -- The process; another one after each start.
    token uuid NOT NULL  -- A random value that only this process and this database know.
    written_at timestamp with time zone NOT NULL  -- When it was written.
    CONSTRAINT replica_tokens_pkey PRIMARY KEY (replica)
    CREATE UNIQUE INDEX replica_tokens_pkey ON public.replica_tokens USING btree (replica)

TABLE route_channels  -- The channels to which a route sends its groups.
    route_id bigint NOT NULL  -- The route.
    channel_id bigint NOT NULL  -- The channel; it cannot be deleted.
    position integer NOT NULL  -- Place among the channels of the route, from 1.
    CONSTRAINT route_channels_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES channels(id)
    CONSTRAINT route_channels_pkey PRIMARY KEY (route_id, channel_id)
    CONSTRAINT route_channels_route_id_fkey FOREIGN KEY (route_id) REFERENCES routes(id) ON DELETE CASCADE
    CREATE INDEX route_channels_channel ON public.route_channels USING btree (channel_id)
    CREATE UNIQUE INDEX route_channels_pkey ON public.route_channels USING btree (route_id, channel_id)

TABLE routes  -- Which alerts go where: an alert takes the first enabled route that matches.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the route.
    name text NOT NULL  -- Unique name; it never changes.
    title text NOT NULL DEFAULT ''::text  -- What people call it.
    position integer NOT NULL  -- Place among the routes, from 1.
    matcher jsonb NOT NULL DEFAULT '{}'::jsonb  -- Which alerts: rule, component, category, level, labels, min_level, hours; empty: all.
    goes_on boolean NOT NULL DEFAULT false  -- Whether an alert that matches takes the following routes too.
    policy_id bigint  -- Escalation policy that an alert starts; null: none.
    group_by text[] NOT NULL DEFAULT '{}'::text[]  -- What the alerts of a group have in common: rule, component, category and labels; ... alone: each alert is one.
    group_wait_s integer NOT NULL DEFAULT 30  -- Seconds that the first message of a group waits for other alerts.
    group_interval_s integer NOT NULL DEFAULT 300  -- Seconds between two moments at which a group may be sent.
    repeat_s integer NOT NULL DEFAULT 14400  -- Seconds after which a group in which nothing changes is sent again; 0: never.
    quiet_hours jsonb NOT NULL DEFAULT '[]'::jsonb  -- Hours in which nothing is sent: a list of {weekdays, start, end}, on the clocks of tz.
    tz text NOT NULL DEFAULT 'UTC'::text  -- Time zone of quiet_hours and of the hours of matcher.
    enabled boolean NOT NULL DEFAULT true  -- Whether alerts take it.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT routes_group_interval_s_check CHECK ((group_interval_s > 0))
    CONSTRAINT routes_group_wait_s_check CHECK ((group_wait_s >= 0))
    CONSTRAINT routes_matcher_check CHECK ((jsonb_typeof(matcher) = 'object'::text))
    CONSTRAINT routes_name_key UNIQUE (name)
    CONSTRAINT routes_pkey PRIMARY KEY (id)
    CONSTRAINT routes_policy_id_fkey FOREIGN KEY (policy_id) REFERENCES policies(id)
    CONSTRAINT routes_quiet_hours_check CHECK ((jsonb_typeof(quiet_hours) = 'array'::text))
    CONSTRAINT routes_repeat_s_check CHECK ((repeat_s >= 0))
    CREATE UNIQUE INDEX routes_name_key ON public.routes USING btree (name)
    CREATE UNIQUE INDEX routes_pkey ON public.routes USING btree (id)
    CREATE INDEX routes_policy ON public.routes USING btree (policy_id)

TABLE rule_inputs  -- Window aggregates that rules read each minute: each one once, for however many rules.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Its number.
    series_id integer NOT NULL  -- The series.
    window_s integer NOT NULL  -- Length of the window in seconds.
    shift_s integer NOT NULL  -- How long ago the window ended, in seconds.
    source text NOT NULL  -- What is read: basic_aggregates or extended_aggregates of the 1m tier, samples or distributions.
    CONSTRAINT rule_inputs_pkey PRIMARY KEY (id)
    CONSTRAINT rule_inputs_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(id) ON DELETE CASCADE
    CONSTRAINT rule_inputs_series_id_window_s_shift_s_source_key UNIQUE (series_id, window_s, shift_s, source)
    CREATE UNIQUE INDEX rule_inputs_pkey ON public.rule_inputs USING btree (id)
    CREATE UNIQUE INDEX rule_inputs_series_id_window_s_shift_s_source_key ON public.rule_inputs USING btree (series_id, window_s, shift_s, source)

TABLE rule_series  -- Which series each rule reads, brought up to date before each evaluation.
    rule_id integer NOT NULL  -- The rule.
    series_id integer NOT NULL  -- The series.
    input_id integer NOT NULL  -- The window aggregates that it reads.
    other_input_id integer  -- Those that they are compared with: a ratio with the other metric, a change with the past, a burn rate with its short window.
    kind text NOT NULL  -- Kind of the rule.
    aggregate integer NOT NULL  -- Place of the aggregate: avg, min, max, sum, count, first, last, stddev, rate, p50, p90, p95, p99.
    is_relative boolean NOT NULL  -- Whether a change is in percent.
    budget double precision  -- Of a burn rate: the share that may fail.
    sign integer NOT NULL  -- 1 where larger is worse, -1 where smaller is.
    is_strict boolean NOT NULL  -- Whether the limit itself is well.
    least_severe double precision  -- Limit of the least severe level, times the sign.
    settings text  -- Metric of whose thresholds in the settings the limits are, when the rule has none.
    is_known boolean NOT NULL  -- Whether it is remembered that there was data.
    CONSTRAINT rule_series_input_id_fkey FOREIGN KEY (input_id) REFERENCES rule_inputs(id) ON DELETE CASCADE
    CONSTRAINT rule_series_other_input_id_fkey FOREIGN KEY (other_input_id) REFERENCES rule_inputs(id) ON DELETE CASCADE
    CONSTRAINT rule_series_pkey PRIMARY KEY (rule_id, series_id)
    CONSTRAINT rule_series_rule_id_fkey FOREIGN KEY (rule_id) REFERENCES alert_rules(id) ON DELETE CASCADE
    CONSTRAINT rule_series_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(id) ON DELETE CASCADE
    CREATE INDEX rule_series_input ON public.rule_series USING btree (input_id)
    CREATE INDEX rule_series_other_input ON public.rule_series USING btree (other_input_id) WHERE (other_input_id IS NOT NULL)
    CREATE UNIQUE INDEX rule_series_pkey ON public.rule_series USING btree (rule_id, series_id)
    CREATE INDEX rule_series_series ON public.rule_series USING btree (series_id)

TABLE schedule_overrides  -- Shifts that somebody takes or leaves, applied in the order of their numbers.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the override.
    schedule_id bigint NOT NULL  -- The schedule.
    starts_at timestamp with time zone NOT NULL  -- From when on it counts.
    ends_at timestamp with time zone NOT NULL  -- Until when it counts.
    in_person text  -- Who comes on call; null: nobody.
    out_person text  -- Who is not on call instead; null: nobody in particular.
    is_everyone boolean NOT NULL  -- Whether in_person replaces everyone who is on call.
    created_at timestamp with time zone NOT NULL  -- When it was made.
    created_by text NOT NULL  -- Who made it.
    CONSTRAINT schedule_overrides_check CHECK ((starts_at < ends_at))
    CONSTRAINT schedule_overrides_pkey PRIMARY KEY (id)
    CONSTRAINT schedule_overrides_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES schedules(id) ON DELETE CASCADE
    CREATE INDEX schedule_overrides_ends_at ON public.schedule_overrides USING btree (schedule_id, ends_at)
    CREATE UNIQUE INDEX schedule_overrides_pkey ON public.schedule_overrides USING btree (id)

TABLE schedules  -- Who is on call: rotations, and what replaces them for a time.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the schedule, in the order in which they were made.
    name text NOT NULL  -- Unique name; it never changes.
    title text NOT NULL DEFAULT ''::text  -- What people call it.
    tz text NOT NULL DEFAULT 'UTC'::text  -- Time zone of the clocks by which hand-overs happen.
    layers jsonb NOT NULL DEFAULT '[]'::jsonb  -- List of rotations; of those that have somebody, the last one counts.
    temporary jsonb NOT NULL DEFAULT '[]'::jsonb  -- List of temporary schedules, each with its shifts.
    recorded_until timestamp with time zone NOT NULL  -- Before this time on_call_shifts says who was on call, and everybody was told of each hand-over.
    updated_at timestamp with time zone NOT NULL  -- When it was last changed; overrides do not count.
    updated_by text NOT NULL  -- Who changed it.
    CONSTRAINT schedules_name_key UNIQUE (name)
    CONSTRAINT schedules_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX schedules_name_key ON public.schedules USING btree (name)
    CREATE UNIQUE INDEX schedules_pkey ON public.schedules USING btree (id)

TABLE schema_migrations  -- The applied migrations; version 0 stands for the views and functions.
    version integer NOT NULL  -- Number of the file.
    name text NOT NULL  -- Name of the file.
    checksum text NOT NULL  -- SHA-256 of the file: an applied file must not change.
    applied_at timestamp with time zone NOT NULL DEFAULT now()  -- When it was applied.
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
    CREATE UNIQUE INDEX schema_migrations_pkey ON public.schema_migrations USING btree (version)

TABLE security_clock  -- The newest slot of which the security events were counted: each is counted by one replica.
    one boolean NOT NULL DEFAULT true  -- There is one row.
    counted_at timestamp with time zone NOT NULL  -- That slot.
    CONSTRAINT security_clock_one_check CHECK (one)
    CONSTRAINT security_clock_pkey PRIMARY KEY (one)
    CREATE UNIQUE INDEX security_clock_pkey ON public.security_clock USING btree (one)

TABLE security_events  -- The security audit: who was refused, and who changed settings, rules, suppression, and keys.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Order of the rows.
    time timestamp with time zone NOT NULL  -- When; of several that are alike, the first.
    type text NOT NULL  -- What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, contact_changed, schedule_changed, route_changed, policy_changed, notifications_paused, notifications_resumed, action_run, host_removed, key_created, key_revoked, admin_created or first_admin_created.
    actor text NOT NULL  -- Who; empty: not authenticated.
    address text NOT NULL  -- Address the request came from; empty: not known, or several.
    detail text NOT NULL  -- What was asked for or changed; never a secret.
    count bigint NOT NULL  -- How many that are alike the row stands for.
    counted_at timestamp with time zone  -- Time of the sample of security_events that it is counted in; null: not counted yet.
    CONSTRAINT security_events_count_check CHECK ((count > 0))
    CONSTRAINT security_events_pkey PRIMARY KEY (id)
    CREATE INDEX security_events_counted_at ON public.security_events USING btree (counted_at)
    CREATE UNIQUE INDEX security_events_pkey ON public.security_events USING btree (id)
    CREATE INDEX security_events_type ON public.security_events USING btree (type, id)

TABLE series  -- What is measured: one row per metric, component and label set.
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the series in every table of samples.
    metric text NOT NULL  -- Name of the metric: subject, what, unit.
    component text NOT NULL  -- Component the metric belongs to.
    category text NOT NULL  -- system, trading, database, external or security.
    labels jsonb NOT NULL DEFAULT '{}'::jsonb  -- Labels that tell series of one metric apart: an object of texts.
    unit text NOT NULL DEFAULT ''::text  -- Unit of the values, such as percent, ms or bytes; empty for counts.
    kind text NOT NULL DEFAULT 'gauge'::text  -- gauge, counter or distribution.
    resolution double precision  -- Power of two that values are rounded to before storing; null: as they come.
    created_at timestamp with time zone NOT NULL DEFAULT now()  -- When the series was first seen.
    is_covered boolean NOT NULL DEFAULT false  -- Whether rule_series has the rules that read it, as they are now.
    CONSTRAINT series_metric_component_labels_key UNIQUE (metric, component, labels)
    CONSTRAINT series_pkey PRIMARY KEY (id)
    CREATE INDEX series_component ON public.series USING btree (component)
    CREATE UNIQUE INDEX series_metric_component_labels_key ON public.series USING btree (metric, component, labels)
    CREATE UNIQUE INDEX series_pkey ON public.series USING btree (id)
    CREATE INDEX series_uncovered ON public.series USING btree (id) WHERE (NOT is_covered)

TABLE series_state  -- The newest sample of each series, and when its first one was.
    series_id integer NOT NULL  -- The series.
    first_time timestamp with time zone NOT NULL  -- Time of the oldest sample ever stored.
    last_time timestamp with time zone NOT NULL  -- Time of the newest sample; of one too far in the future only until another comes.
    last_value double precision NOT NULL  -- Value of the newest sample.
    reason text NOT NULL DEFAULT ''::text  -- Why the newest sample is what it is: the cause of a component_up of 0.
    ahead_time timestamp with time zone  -- Time of the newest sample that lay in the future when an earlier one took its place; null: none.
    CONSTRAINT series_state_pkey PRIMARY KEY (series_id)
    CONSTRAINT series_state_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(id) ON DELETE CASCADE
    CREATE UNIQUE INDEX series_state_pkey ON public.series_state USING btree (series_id)

TABLE sessions  -- Browsers that are signed in; only a hash of the cookie is kept.
    hash bytea NOT NULL  -- SHA-256 of the cookie.
    key_id integer  -- Key it was opened with, whose end ends it; null: the bootstrap key or a sign-in link.
    name text NOT NULL  -- Name of the holder.
    role text NOT NULL  -- What it may do.
    created_at timestamp with time zone NOT NULL  -- When the browser signed in.
    expires_at timestamp with time zone NOT NULL  -- When it ends by itself.
    CONSTRAINT sessions_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_keys(id) ON DELETE CASCADE
    CONSTRAINT sessions_pkey PRIMARY KEY (hash)
    CREATE UNIQUE INDEX sessions_pkey ON public.sessions USING btree (hash)

TABLE sign_in_links  -- Links that sign a browser in as admin once; using one removes it.
    hash bytea NOT NULL  -- SHA-256 of the token in the link.
    expires_at timestamp with time zone NOT NULL  -- When it stops being valid.
    CONSTRAINT sign_in_links_pkey PRIMARY KEY (hash)
    CREATE UNIQUE INDEX sign_in_links_pkey ON public.sign_in_links USING btree (hash)

TABLE sql_rule_clock  -- The newest minute in which SQL rules ran: in each, one replica runs them.
    one boolean NOT NULL DEFAULT true  -- There is one row.
    asked_at timestamp with time zone NOT NULL  -- That minute.
    CONSTRAINT sql_rule_clock_one_check CHECK (one)
    CONSTRAINT sql_rule_clock_pkey PRIMARY KEY (one)
    CREATE UNIQUE INDEX sql_rule_clock_pkey ON public.sql_rule_clock USING btree (one)

TABLE system_alert_events  -- Each transition of each alert: the audit.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Order of the transitions.
    alert_id bigint NOT NULL  -- The alert.
    time timestamp with time zone NOT NULL  -- When it happened.
    type text NOT NULL  -- opened, escalated, lowered, acknowledged, acknowledgement_expired, commented, suppressed, unsuppressed, resolved or reopened.
    level text NOT NULL  -- Level after the transition.
    value double precision  -- Value that led to the transition.
    threshold double precision  -- Limit it was compared with.
    actor text NOT NULL  -- Who did it: a key or user, or auto.
    comment text NOT NULL DEFAULT ''::text  -- What that person said, or why the service did it.
    is_announced boolean NOT NULL DEFAULT false  -- Whether clients and channels were informed, which happens in one transaction.
    CONSTRAINT system_alert_events_alert_id_fkey FOREIGN KEY (alert_id) REFERENCES system_alerts(id) ON DELETE CASCADE
    CONSTRAINT system_alert_events_pkey PRIMARY KEY (id)
    CONSTRAINT system_alert_events_type_check CHECK ((type = ANY (ARRAY['opened'::text, 'escalated'::text, 'lowered'::text, 'acknowledged'::text, 'acknowledgement_expired'::text, 'commented'::text, 'suppressed'::text, 'unsuppressed'::text, 'resolved'::text, 'reopened'::text])))
    CREATE INDEX system_alert_events_alert ON public.system_alert_events USING btree (alert_id, id)
    CREATE UNIQUE INDEX system_alert_events_pkey ON public.system_alert_events USING btree (id)
    CREATE INDEX system_alert_events_unannounced ON public.system_alert_events USING btree (alert_id) WHERE ((NOT is_announced) AND (type <> 'commented'::text))

TABLE system_alerts  -- Alerts, open and past.
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY  -- Number of the alert.
    rule text NOT NULL  -- Name of the rule that raised it, or test-alert.
    series_id integer  -- Series it is about; null for a test alert.
    level text NOT NULL  -- info, warning, critical or emergency: the present one, or the last.
    category text NOT NULL  -- system, trading, database, external or security.
    component text NOT NULL  -- Component it is about.
    labels jsonb NOT NULL DEFAULT '{}'::jsonb  -- Labels of the series.
    title text NOT NULL  -- What is wrong, in a few words.
    message text NOT NULL  -- What was measured, and against which limit.
    value double precision  -- Value at the last change of level.
    threshold double precision  -- Limit of the level.
    state text NOT NULL DEFAULT 'firing'::text  -- firing, acknowledged or resolved.
    opened_at timestamp with time zone NOT NULL  -- When it was raised.
    acknowledged_at timestamp with time zone  -- When someone took it on.
    acknowledged_by text  -- Who took it on.
    resolved_at timestamp with time zone  -- When it ended.
    resolved_by text  -- Who ended it: a key or user, or auto.
    is_flapping boolean NOT NULL DEFAULT false  -- Whether it opened so often that it must be clear for long.
    suppressed_by text[] NOT NULL DEFAULT '{}'::text[]  -- What suppresses its notifications, or did when it ended: silence:3, maintenance:backup, dependency:database.
    CONSTRAINT system_alerts_category_check CHECK ((category = ANY (ARRAY['system'::text, 'trading'::text, 'database'::text, 'external'::text, 'security'::text])))
    CONSTRAINT system_alerts_check CHECK (((state = 'resolved'::text) = (resolved_at IS NOT NULL)))
    CONSTRAINT system_alerts_level_check CHECK ((level = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text, 'emergency'::text])))
    CONSTRAINT system_alerts_pkey PRIMARY KEY (id)
    CONSTRAINT system_alerts_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(id) ON DELETE SET NULL
    CONSTRAINT system_alerts_state_check CHECK ((state = ANY (ARRAY['firing'::text, 'acknowledged'::text, 'resolved'::text])))
    CREATE INDEX system_alerts_component ON public.system_alerts USING btree (component) WHERE (state <> 'resolved'::text)
    CREATE INDEX system_alerts_open ON public.system_alerts USING btree (id) WHERE (state <> 'resolved'::text)
    CREATE INDEX system_alerts_opened_at ON public.system_alerts USING btree (opened_at DESC, id DESC)
    CREATE UNIQUE INDEX system_alerts_pkey ON public.system_alerts USING btree (id)
    CREATE INDEX system_alerts_resolved_at ON public.system_alerts USING btree (resolved_at)

CONTINUOUS AGGREGATE system_counters_1d  -- Counters by series and UTC day.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values from which the counter started again; last - first + resets is its increase.
 SELECT series_id,
    time_bucket('1 day'::interval, bucket) AS bucket,
    min(first_time) AS first_time,
    max(last_time) AS last_time,
    first(first, bucket) AS first,
    last(last, bucket) AS last,
    counter_resets(array_agg(first ORDER BY system_counters_1h.bucket), array_agg(last ORDER BY system_counters_1h.bucket), array_agg(resets ORDER BY system_counters_1h.bucket)) AS resets
   FROM system_counters_1h
  GROUP BY series_id, (time_bucket('1 day'::interval, bucket));

CONTINUOUS AGGREGATE system_counters_1h  -- Counters by series and hour.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values from which the counter started again; last - first + resets is its increase.
 SELECT series_id,
    time_bucket('01:00:00'::interval, bucket) AS bucket,
    min(first_time) AS first_time,
    max(last_time) AS last_time,
    first(first, bucket) AS first,
    last(last, bucket) AS last,
    counter_resets(array_agg(first ORDER BY system_counters_5m.bucket), array_agg(last ORDER BY system_counters_5m.bucket), array_agg(resets ORDER BY system_counters_5m.bucket)) AS resets
   FROM system_counters_5m
  GROUP BY series_id, (time_bucket('01:00:00'::interval, bucket));

CONTINUOUS AGGREGATE system_counters_5m  -- Counters by series and five minutes.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    first_time timestamp with time zone  -- Time of the oldest value.
    last_time timestamp with time zone  -- Time of the newest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    resets double precision  -- Sum of the values from which the counter started again; last - first + resets is its increase.
 SELECT m.series_id,
    time_bucket('00:05:00'::interval, m."time") AS bucket,
    min(m."time") AS first_time,
    max(m."time") AS last_time,
    first(m.value, m."time") AS first,
    last(m.value, m."time") AS last,
    counter_resets(array_agg(m.value ORDER BY m."time")) AS resets
   FROM (system_metrics m
     JOIN series s ON ((s.id = m.series_id)))
  WHERE (s.kind = 'counter'::text)
  GROUP BY m.series_id, (time_bucket('00:05:00'::interval, m."time"));

HYPERTABLE system_distributions  -- Distributions: how many values of a series fell into each bucket at a time.
    series_id integer NOT NULL  -- The series, of kind distribution.
    time timestamp with time zone NOT NULL  -- When they were measured.
    log_bucket integer NOT NULL  -- Bucket of the values; log_bucket_value tells the value.
    count bigint NOT NULL  -- Number of values in the bucket.
    CONSTRAINT system_distributions_pkey PRIMARY KEY (series_id, "time", log_bucket)
    CREATE UNIQUE INDEX system_distributions_pkey ON public.system_distributions USING btree (series_id, "time", log_bucket)
    CREATE INDEX system_distributions_time ON public.system_distributions USING btree ("time")

CONTINUOUS AGGREGATE system_distributions_1d  -- Distributions by series and UTC day.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    log_bucket integer  -- Bucket of the values; log_bucket_value tells the value.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
 SELECT series_id,
    time_bucket('1 day'::interval, bucket) AS bucket,
    log_bucket,
    (sum(count))::bigint AS count
   FROM system_distributions_1h
  GROUP BY series_id, (time_bucket('1 day'::interval, bucket)), log_bucket;

CONTINUOUS AGGREGATE system_distributions_1h  -- Distributions by series and hour.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    log_bucket integer  -- Bucket of the values; log_bucket_value tells the value.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
 SELECT series_id,
    time_bucket('01:00:00'::interval, bucket) AS bucket,
    log_bucket,
    (sum(count))::bigint AS count
   FROM system_distributions_5m
  GROUP BY series_id, (time_bucket('01:00:00'::interval, bucket)), log_bucket;

CONTINUOUS AGGREGATE system_distributions_5m  -- Distributions by series and five minutes.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    log_bucket integer  -- Bucket of the values; log_bucket_value tells the value.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
 SELECT series_id,
    time_bucket('00:05:00'::interval, "time") AS bucket,
    log_bucket,
    (sum(count))::bigint AS count
   FROM system_distributions
  GROUP BY series_id, (time_bucket('00:05:00'::interval, "time")), log_bucket;

HYPERTABLE system_metrics  -- Samples: one row per series and time.
    time timestamp with time zone NOT NULL  -- When the value was measured.
    series_id integer NOT NULL  -- The series; see table series, or read view metrics.
    value double precision NOT NULL  -- The value, rounded to the resolution of its series.
    CONSTRAINT system_metrics_pkey PRIMARY KEY (series_id, "time")
    CREATE UNIQUE INDEX system_metrics_pkey ON public.system_metrics USING btree (series_id, "time")
    CREATE INDEX system_metrics_time ON public.system_metrics USING btree ("time")

CONTINUOUS AGGREGATE system_metrics_1d  -- Samples by series and UTC day; the newest are computed as they are read.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
    sum double precision  -- Sum of the values; sum / count is the mean.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    m2 double precision  -- Sum of the squared distances from the mean; sqrt(m2 / count) is the standard deviation. NaN: not known.
 SELECT series_id,
    time_bucket('1 day'::interval, bucket) AS bucket,
    (sum(count))::bigint AS count,
    sum(sum) AS sum,
    min(min) AS min,
    max(max) AS max,
    first(first, bucket) AS first,
    last(last, bucket) AS last,
    (merge_moments(ARRAY[(count)::double precision, sum, m2]))[3] AS m2
   FROM system_metrics_1h
  GROUP BY series_id, (time_bucket('1 day'::interval, bucket));

CONTINUOUS AGGREGATE system_metrics_1h  -- Samples by series and hour; the newest are computed as they are read.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
    sum double precision  -- Sum of the values; sum / count is the mean.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    m2 double precision  -- Sum of the squared distances from the mean; sqrt(m2 / count) is the standard deviation. NaN: not known.
 SELECT series_id,
    time_bucket('01:00:00'::interval, bucket) AS bucket,
    (sum(count))::bigint AS count,
    sum(sum) AS sum,
    min(min) AS min,
    max(max) AS max,
    first(first, bucket) AS first,
    last(last, bucket) AS last,
    (merge_moments(ARRAY[(count)::double precision, sum, m2]))[3] AS m2
   FROM system_metrics_5m
  GROUP BY series_id, (time_bucket('01:00:00'::interval, bucket));

CONTINUOUS AGGREGATE system_metrics_1m  -- Samples by series and minute; the newest minutes are computed as they are read.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
    sum double precision  -- Sum of the values; sum / count is the mean.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    m2 double precision  -- Sum of the squared distances from the mean; sqrt(m2 / count) is the standard deviation. NaN: not known.
 SELECT series_id,
    time_bucket('00:01:00'::interval, "time") AS bucket,
    count(*) AS count,
    sum(value) AS sum,
    min(value) AS min,
    max(value) AS max,
    first(value, "time") AS first,
    last(value, "time") AS last,
    (var_pop(value) * (count(*))::double precision) AS m2
   FROM system_metrics
  GROUP BY series_id, (time_bucket('00:01:00'::interval, "time"));

CONTINUOUS AGGREGATE system_metrics_5m  -- Samples by series and five minutes; the newest are computed as they are read.
    series_id integer  -- The series.
    bucket timestamp with time zone  -- Start of the bucket.
    count bigint  -- Number of samples; of a distribution, of values in its log_bucket.
    sum double precision  -- Sum of the values; sum / count is the mean.
    min double precision  -- Smallest value.
    max double precision  -- Largest value.
    first double precision  -- Oldest value.
    last double precision  -- Newest value.
    m2 double precision  -- Sum of the squared distances from the mean; sqrt(m2 / count) is the standard deviation. NaN: not known.
 SELECT series_id,
    time_bucket('00:05:00'::interval, "time") AS bucket,
    count(*) AS count,
    sum(value) AS sum,
    min(value) AS min,
    max(value) AS max,
    first(value, "time") AS first,
    last(value, "time") AS last,
    (var_pop(value) * (count(*))::double precision) AS m2
   FROM system_metrics
  GROUP BY series_id, (time_bucket('00:05:00'::interval, "time"));

TABLE tiers  -- What is kept at which density: the wanted state, and how far the maintenance has come.
    name text NOT NULL  -- Name of the tier, as in answers of the API.
    relation name NOT NULL  -- Table or aggregate that holds it.
    source text  -- Tier it is rolled up from; null: it is written.
    width interval NOT NULL  -- Width of a bucket; zero for samples.
    keep interval  -- How long rows are kept; null: for ever.
    keep_applied interval  -- The value of keep at the last run, so that a shorter one acts a run later, after what was still accepted is rolled up.
    compress_after interval  -- Age at which a chunk is compressed; null: never.
    refreshed_to timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- End of what the last run rolled up.
    dropped_to timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone  -- End of what was dropped; before it, buckets of this tier cannot be recomputed.
    position integer NOT NULL  -- Order of the maintenance: a source comes before what is made from it.
    late_from timestamp with time zone NOT NULL DEFAULT 'infinity'::timestamp with time zone  -- From here on, late samples are not rolled up yet; infinity: all are.
    refresh_step interval NOT NULL DEFAULT '01:00:00'::interval  -- How much time of samples one step of a refresh takes, as fast as the last ones were.
    CONSTRAINT tiers_pkey PRIMARY KEY (name)
    CONSTRAINT tiers_position_key UNIQUE ("position")
    CONSTRAINT tiers_source_fkey FOREIGN KEY (source) REFERENCES tiers(name)
    CREATE UNIQUE INDEX tiers_pkey ON public.tiers USING btree (name)
    CREATE UNIQUE INDEX tiers_position_key ON public.tiers USING btree ("position")

VIEW uptime_daily  -- Availability of each component by UTC day.
    day timestamp with time zone  -- Start of the day in UTC.
    component text  -- Component of the series.
    up_s double precision  -- Seconds observed and not down.
    down_s double precision  -- Seconds down.
    blind_s double precision  -- Seconds without a check.
    availability double precision  -- up_s / (up_s + down_s) in percent; null: never observed.
 SELECT day,
    component,
    up_s,
    down_s,
    blind_s,
        CASE
            WHEN ((up_s + down_s) > (0)::double precision) THEN (((100)::double precision * up_s) / (up_s + down_s))
            ELSE NULL::double precision
        END AS availability
   FROM ( SELECT time_bucket('1 day'::interval, component_uptime_1h.bucket) AS day,
            component_uptime_1h.component,
            ((COALESCE(sum(component_uptime_1h.healthy_s), (0)::double precision) + COALESCE(sum(component_uptime_1h.warning_s), (0)::double precision)) + COALESCE(sum(component_uptime_1h.critical_s), (0)::double precision)) AS up_s,
            COALESCE(sum(component_uptime_1h.down_s), (0)::double precision) AS down_s,
            GREATEST((0)::double precision, (((((LEAST((86400)::numeric, EXTRACT(epoch FROM (now() - time_bucket('1 day'::interval, component_uptime_1h.bucket)))))::double precision - COALESCE(sum(component_uptime_1h.healthy_s), (0)::double precision)) - COALESCE(sum(component_uptime_1h.warning_s), (0)::double precision)) - COALESCE(sum(component_uptime_1h.critical_s), (0)::double precision)) - COALESCE(sum(component_uptime_1h.down_s), (0)::double precision))) AS blind_s
           FROM component_uptime_1h
          GROUP BY (time_bucket('1 day'::interval, component_uptime_1h.bucket)), component_uptime_1h.component) days;

VIEW uptime_hourly  -- Seconds of each component in each state, by hour.
    hour timestamp with time zone  -- Start of the hour.
    component text  -- Component of the series.
    healthy_s double precision  -- Seconds healthy.
    warning_s double precision  -- Seconds in warning.
    critical_s double precision  -- Seconds critical.
    down_s double precision  -- Seconds down.
 SELECT bucket AS hour,
    component,
    COALESCE(healthy_s, (0)::double precision) AS healthy_s,
    COALESCE(warning_s, (0)::double precision) AS warning_s,
    COALESCE(critical_s, (0)::double precision) AS critical_s,
    COALESCE(down_s, (0)::double precision) AS down_s
   FROM component_uptime_1h;

TYPE uptime_row  -- The result of uptime().
    up_s double precision  -- Seconds observed and not down.
    down_s double precision  -- Seconds down.
    availability double precision  -- up_s / (up_s + down_s) in percent; null: never observed.

TABLE watched_components  -- External components that the settings probe, or probed.
    component text NOT NULL  -- Name of the component.
    removed_at timestamp with time zone  -- When it was removed from the settings; null: it is probed.
    CONSTRAINT watched_components_pkey PRIMARY KEY (component)
    CREATE UNIQUE INDEX watched_components_pkey ON public.watched_components USING btree (component)

FUNCTION aggregate_text(agg text, window_s integer) RETURNS text  -- An aggregate and its window: average of 1 min.

FUNCTION alert_document(a system_alerts) RETURNS jsonb  -- An alert in the form for messages.

FUNCTION alert_levels() RETURNS text[]  -- The levels of alerts, least severe first.

PROCEDURE await_backup()  -- Waits for a backup that reads the chunks, and prevents a new one until the transaction ends.

FUNCTION begin_run(p_moment timestamp with time zone, p_every interval, p_force boolean) RETURNS TABLE(id bigint, is_due boolean, late_from timestamp with time zone, tiers_done integer)  -- The run to begin or continue, and the oldest late sample that it handles.

FUNCTION breach_message(subject text, value double precision, unit text, op text, threshold double precision) RETURNS text  -- The text about a breached limit: subject 97.7 % (limit 80 %).

FUNCTION bytes_text(bytes double precision) RETURNS text  -- A number of bytes in the largest unit: 1.5 GiB.

FUNCTION ceil_to(p_time timestamp with time zone, p_width interval) RETURNS timestamp with time zone  -- The first start of a bucket at or after a time.

FUNCTION chunk_rows(p_chunk regclass, p_time name, p_pages_max integer DEFAULT 8192, OUT rows bigint, OUT oldest timestamp with time zone, OUT newest timestamp with time zone) RETURNS record  -- Number of rows of a chunk, and the times of its oldest and newest row.

PROCEDURE compress_tier(IN p_tier text, IN p_old timestamp with time zone, IN p_quiet_to timestamp with time zone, IN p_run bigint, IN p_ends_at timestamp with time zone, INOUT p_paused boolean)  -- Compresses the chunks of a tier that ended before p_old.

FUNCTION compressed_part(p_chunk regclass) RETURNS regclass  -- Table with the compressed batches of a chunk; null: not compressed.

FUNCTION counter_increase(first double precision, last double precision, resets double precision, last_before double precision, is_near boolean) RETURNS double precision  -- Increase of a counter over samples, from the sample before if that is near.

FUNCTION counter_resets(p_firsts double precision[], p_lasts double precision[], p_resets double precision[]) RETURNS double precision  -- Resets of a counter over parts in their order.

FUNCTION counter_resets(p_values double precision[]) RETURNS double precision  -- Sum of the values from which a counter started again; last - first + resets is its increase.

FUNCTION counter_seconds(first_time timestamp with time zone, last_time timestamp with time zone, time_before timestamp with time zone, is_near boolean) RETURNS numeric  -- The seconds that counter_increase covers.

FUNCTION digits_text(value double precision) RETURNS text  -- A number with three digits.

FUNCTION drop_inputs() RETURNS trigger  -- Deletes the window aggregates that no rule reads any more.

FUNCTION drop_limit(p_tier text, p_age interval, p_moment timestamp with time zone, p_settled timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS timestamp with time zone  -- The time before which data are older than a retention and rolled up.

PROCEDURE drop_metrics(IN p_moment timestamp with time zone, IN p_from timestamp with time zone, IN p_ends_at timestamp with time zone, INOUT p_paused boolean)  -- Deletes rows older than the retention of their metric, in chunks that end after p_from.

PROCEDURE drop_tier(IN p_tier text, IN p_moment timestamp with time zone, IN p_run bigint)  -- Drops the chunks of a tier that are older than its retention and rolled up.

FUNCTION exponent_text(value double precision) RETURNS text  -- A number with an exponent: 1.23e+12.

FUNCTION find_series(p_metric text, p_component text, p_labels jsonb, p_kind text, OUT ids integer[], OUT is_all boolean) RETURNS record  -- Numbers of the series of a metric, and whether all of them have a given kind.

PROCEDURE grant_reader()  -- Grants vigia_reader the documented views and functions; called whenever they are created.

FUNCTION history(metric text, start timestamp with time zone, "end" timestamp with time zone, step interval, component text DEFAULT NULL::text, labels jsonb DEFAULT '{}'::jsonb) RETURNS SETOF history_row  -- A metric in buckets of a step, from the tier that fits: every bucket that overlaps start to end.

FUNCTION in_shard(rule_id integer, component text, labels jsonb, shard integer, shards integer) RETURNS boolean  -- Whether the key of a series belongs to a shard of an evaluation, out of equal shards.

FUNCTION is_partial(p_chunk regclass) RETURNS boolean  -- Whether a chunk received rows after its compression.

FUNCTION labels_in_brackets(labels jsonb) RETURNS text  -- Labels behind a name, without the host: (mount /data).

FUNCTION level_limits(p_levels jsonb) RETURNS double precision[]  -- The limits of levels, the least severe first; null: the level has none.

FUNCTION local_instant(p_local timestamp without time zone, p_tz text) RETURNS timestamp with time zone  -- The instant of a local time in a zone: the first if it occurs twice, by the offset before the change if skipped.

FUNCTION log_bucket(p_value double precision) RETURNS integer  -- Bucket of a value in system_distributions; its bounds grow by 2 percent.

FUNCTION log_bucket_value(p_bucket integer) RETURNS double precision  -- Value that stands for a bucket of system_distributions: at most 1 percent from all in it.

FUNCTION log_quantile(p_rank double precision, p_below integer, p_above integer) RETURNS double precision  -- Value at a rank (from 0, may be fractional), given the buckets below and above it.

PROCEDURE maintain(IN job_id integer DEFAULT NULL::integer, IN config jsonb DEFAULT NULL::jsonb)  -- Refreshes, compresses and drops, in that order; config may give now, every, force and a budget of time.

FUNCTION maintenance_spans(p_start timestamp with time zone, p_end timestamp with time zone) RETURNS TABLE(window_id integer, name text, matcher jsonb, starts_at timestamp with time zone, ends_at timestamp with time zone)  -- Each whole occurrence of a maintenance window that overlaps a time range. Occurrences may overlap.

FUNCTION make_reader() RETURNS boolean  -- Creates the role vigia_reader if it is missing; false: this user may not.

FUNCTION masked_address(address text) RETURNS text  -- An address with its middle left out: a…@example.org, +5…89.

FUNCTION merge_moments(double precision[]) RETURNS double precision[]  -- Puts {count, sum, m2} of parts together to that of the whole.

FUNCTION metric_title(metric text) RETURNS text  -- Display name of a metric.

FUNCTION number_text(value double precision, decimals integer) RETURNS text  -- A number with at most so many decimals.

FUNCTION open_sql_rule_login(p_role text, p_verifier text) RETURNS void  -- Opens the login of SQL rules for a minute, with a new password.

PROCEDURE pack(IN p_table regclass)  -- Rewrites a table without its dead rows.

FUNCTION percentile(quantile double precision, log_buckets integer[], counts bigint[]) RETURNS double precision  -- Percentile of rows of distributions, within 1 percent: percentile(0.95, array_agg(log_bucket), array_agg(count)).

FUNCTION percentiles(metric text, start timestamp with time zone, "end" timestamp with time zone, step interval, quantiles double precision[] DEFAULT '{0.5,0.9,0.95,0.99}'::double precision[], component text DEFAULT NULL::text, labels jsonb DEFAULT '{}'::jsonb) RETURNS SETOF percentile_row  -- Percentiles of a metric in buckets of a step: of distributions within 1 percent, for as long as a roll-up is kept.

FUNCTION rate(metric text, start timestamp with time zone, "end" timestamp with time zone, step interval, component text DEFAULT NULL::text, labels jsonb DEFAULT '{}'::jsonb) RETURNS SETOF rate_row  -- Increase of a counter, and increase per second, in buckets of a step; a restart is not a decrease.

FUNCTION refresh_start(p_tier text) RETURNS timestamp with time zone  -- First bucket of a tier that can be recomputed without loss; null: its source is empty.

PROCEDURE refresh_tier(IN p_tier text, IN p_settled timestamp with time zone, IN p_part interval, IN p_ends_at timestamp with time zone, IN p_goes_on boolean, INOUT p_paused boolean)  -- Refreshes a tier as far back as its source is complete, in parts if much has changed.

PROCEDURE revoke_side_effects()  -- Revokes functions that affect the whole server from PUBLIC, if this user may.

FUNCTION rewritten_tables() RETURNS TABLE(name text)  -- Chunks of roll-ups in which the newest run of the maintenance replaced rows.

FUNCTION run_sql_rule(p_sql text) RETURNS SETOF text  -- Runs the SQL of a rule with the rights of the caller: each row as JSON, truncated.

FUNCTION seconds_text(seconds double precision) RETURNS text  -- A duration in its two largest parts: 1 h 5 min.

FUNCTION series_ages(p_metrics jsonb, p_moment timestamp with time zone) RETURNS TABLE(before timestamp with time zone, series integer[])  -- Series whose metrics have their own retention (see the setting retention), by the time before which rows go.

FUNCTION series_name(metric text, labels jsonb) RETURNS text  -- Name of a series as people write it: metric{label="value"}.

FUNCTION series_rows(p_chunk regclass, p_end timestamp with time zone, p_time name, p_series integer[], p_before timestamp with time zone) RETURNS TABLE(series_id integer, rows bigint)  -- Number of rows of series in a chunk that are older than a time.

FUNCTION series_tiers() RETURNS TABLE(name text, hyper regclass, time_column name)  -- The tiers whose rows have a series.

FUNCTION stddev_of(m2 double precision, count double precision) RETURNS double precision  -- Standard deviation of samples from the sum of squared distances; null: unknown.

FUNCTION subject_of(component text, labels jsonb) RETURNS text  -- What the title of an alert begins with: the component and its host.

FUNCTION tier_choices() RETURNS TABLE(family text, relation name, width interval, answers_from timestamp with time zone, place bigint)  -- The tiers that can answer for a family, in the order in which they are tried.

FUNCTION tier_chunks(p_tier text) RETURNS TABLE(chunk regclass, start_time timestamp with time zone, end_time timestamp with time zone, is_compressed boolean)  -- Chunks of a tier, oldest first.

FUNCTION tier_for(p_family text, p_start timestamp with time zone, p_step interval) RETURNS tiers  -- The tier that answers for a family, a start and a step.

FUNCTION tier_storage(p_tier text) RETURNS TABLE(chunk regclass, start_time timestamp with time zone, end_time timestamp with time zone, is_compressed boolean, rows bigint, oldest timestamp with time zone, newest timestamp with time zone, bytes bigint, unpacked_bytes bigint)  -- Chunks of a tier with their rows and bytes; unpacked_bytes is the size before compression.

FUNCTION tier_table(p_relation name) RETURNS regclass  -- Hypertable with the chunks of a tier.

FUNCTION uncover() RETURNS trigger  -- What was changed is to be covered anew.

FUNCTION uptime(component text, start timestamp with time zone, "end" timestamp with time zone) RETURNS SETOF uptime_row  -- Seconds up and down of a component, and its availability in percent of the observed time.

FUNCTION value_text(value double precision, unit text) RETURNS text  -- A value with its unit, short: 97.7 %.
