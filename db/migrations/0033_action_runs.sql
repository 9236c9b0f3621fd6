-- What alerts have Vigia do besides telling people: a webhook, a backup.

CREATE TABLE action_runs (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action        text NOT NULL,
    kind          text NOT NULL,
    alert_id      bigint NOT NULL REFERENCES system_alerts (id) ON DELETE CASCADE,
    transition_id bigint NOT NULL,
    requested_at  timestamptz NOT NULL,
    run_at        timestamptz NOT NULL,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed', 'skipped')),
    attempts      integer NOT NULL DEFAULT 0,
    lease         uuid,
    lease_until   timestamptz,
    finished_at   timestamptz,
    result        text NOT NULL DEFAULT '',
    UNIQUE (action, transition_id)
);
CREATE INDEX action_runs_unfinished ON action_runs (kind, run_at) WHERE state IN ('waiting', 'running');
CREATE INDEX action_runs_requested ON action_runs (action, requested_at DESC);
CREATE INDEX action_runs_alert ON action_runs (alert_id);
COMMENT ON TABLE action_runs IS 'What an alert has Vigia do: one row for each run of an action of the setting actions.';
COMMENT ON COLUMN action_runs.id IS 'Number of the run.';
COMMENT ON COLUMN action_runs.action IS 'Name of the action.';
COMMENT ON COLUMN action_runs.kind IS 'backup or webhook.';
COMMENT ON COLUMN action_runs.alert_id IS 'The alert.';
COMMENT ON COLUMN action_runs.transition_id IS 'The row of system_alert_events.';
COMMENT ON COLUMN action_runs.requested_at IS 'When the alert asked for it: in the transaction of the transition.';
COMMENT ON COLUMN action_runs.run_at IS 'Not before this time.';
COMMENT ON COLUMN action_runs.state IS 'waiting, running, done, failed (for good) or skipped (too late, or the action is gone).';
COMMENT ON COLUMN action_runs.attempts IS 'Number of tries.';
COMMENT ON COLUMN action_runs.lease IS 'The process that runs it.';
COMMENT ON COLUMN action_runs.lease_until IS 'Until when no other process may.';
COMMENT ON COLUMN action_runs.finished_at IS 'When it was done, failed or skipped.';
COMMENT ON COLUMN action_runs.result IS 'The file, the answer, or why the last try failed.';
COMMENT ON COLUMN security_events.type IS 'What: sign_in_failed, key_refused, forbidden, setting_changed, rule_changed, suppression_changed, channel_changed, contact_changed, schedule_changed, route_changed, policy_changed, notifications_paused, notifications_resumed, action_run, key_created, key_revoked, admin_created or first_admin_created.';
