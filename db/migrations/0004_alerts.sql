-- Rules, the alerts they raise, and each step in the life of an alert.

CREATE TABLE alert_rules (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind = 'threshold'),
    metric      text NOT NULL,
    component   text,
    category    text NOT NULL,
    agg         text NOT NULL CHECK (agg IN ('avg', 'min', 'max', 'sum', 'count', 'last')),
    window_s    integer NOT NULL CHECK (window_s >= 60 AND window_s % 60 = 0),
    op          text NOT NULL CHECK (op IN ('>', '>=', '<', '<=')),
    levels      jsonb,
    enabled     boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alert_rules IS 'Rules, evaluated as one set once a minute; one rule covers every series that matches.';
COMMENT ON COLUMN alert_rules.id IS 'Number of the rule.';
COMMENT ON COLUMN alert_rules.name IS 'Name of the rule, as in its alerts.';
COMMENT ON COLUMN alert_rules.kind IS 'How it decides; threshold: an aggregate over a window against a limit per level.';
COMMENT ON COLUMN alert_rules.metric IS 'Metric it looks at.';
COMMENT ON COLUMN alert_rules.component IS 'Component it is limited to; null: any.';
COMMENT ON COLUMN alert_rules.category IS 'Category of its alerts.';
COMMENT ON COLUMN alert_rules.agg IS 'Aggregate over the window: avg, min, max, sum, count or last.';
COMMENT ON COLUMN alert_rules.window_s IS 'Length of the window in seconds: whole minutes.';
COMMENT ON COLUMN alert_rules.op IS 'How the aggregate is compared with the limit of a level.';
COMMENT ON COLUMN alert_rules.levels IS 'Limit per level; null: the thresholds of the metric in monitoring_config.';
COMMENT ON COLUMN alert_rules.enabled IS 'Whether it is evaluated.';
COMMENT ON COLUMN alert_rules.created_at IS 'When it was made.';
COMMENT ON COLUMN alert_rules.updated_at IS 'When it was last changed.';

CREATE TABLE system_alerts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule            text NOT NULL,
    series_id       integer REFERENCES series ON DELETE SET NULL,
    level           text NOT NULL CHECK (level IN ('info', 'warning', 'critical', 'emergency')),
    category        text NOT NULL CHECK (category IN ('system', 'trading', 'database', 'external', 'security')),
    component       text NOT NULL,
    labels          jsonb NOT NULL DEFAULT '{}',
    title           text NOT NULL,
    message         text NOT NULL,
    value           double precision,
    threshold       double precision,
    state           text NOT NULL DEFAULT 'firing' CHECK (state IN ('firing', 'acknowledged', 'resolved')),
    opened_at       timestamptz NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    resolved_at     timestamptz,
    resolved_by     text,
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL))
);
COMMENT ON TABLE system_alerts IS 'Alerts, open and past.';
COMMENT ON COLUMN system_alerts.id IS 'Number of the alert.';
COMMENT ON COLUMN system_alerts.rule IS 'Name of the rule that raised it, or test-alert.';
COMMENT ON COLUMN system_alerts.series_id IS 'Series it is about; null for a test alert.';
COMMENT ON COLUMN system_alerts.level IS 'info, warning, critical or emergency: the present one, or the last.';
COMMENT ON COLUMN system_alerts.category IS 'system, trading, database, external or security.';
COMMENT ON COLUMN system_alerts.component IS 'Component it is about.';
COMMENT ON COLUMN system_alerts.labels IS 'Labels of the series.';
COMMENT ON COLUMN system_alerts.title IS 'What is wrong, in a few words.';
COMMENT ON COLUMN system_alerts.message IS 'What was measured, and against which limit.';
COMMENT ON COLUMN system_alerts.value IS 'Value at the last change of level.';
COMMENT ON COLUMN system_alerts.threshold IS 'Limit of the level.';
COMMENT ON COLUMN system_alerts.state IS 'firing, acknowledged or resolved.';
COMMENT ON COLUMN system_alerts.opened_at IS 'When it was raised.';
COMMENT ON COLUMN system_alerts.acknowledged_at IS 'When someone took it on.';
COMMENT ON COLUMN system_alerts.acknowledged_by IS 'Who took it on.';
COMMENT ON COLUMN system_alerts.resolved_at IS 'When it ended.';
COMMENT ON COLUMN system_alerts.resolved_by IS 'Who ended it: a key or user, or auto.';

CREATE UNIQUE INDEX system_alerts_open ON system_alerts (rule, series_id) WHERE state <> 'resolved';
CREATE INDEX system_alerts_opened_at ON system_alerts (opened_at DESC, id DESC);

CREATE TABLE system_alert_events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id  bigint NOT NULL REFERENCES system_alerts ON DELETE CASCADE,
    time      timestamptz NOT NULL,
    type      text NOT NULL CHECK (type IN ('opened', 'escalated', 'lowered', 'acknowledged', 'resolved')),
    level     text NOT NULL,
    value     double precision,
    threshold double precision,
    actor     text NOT NULL,
    comment   text NOT NULL DEFAULT ''
);
COMMENT ON TABLE system_alert_events IS 'Each step in the life of each alert: the audit.';
COMMENT ON COLUMN system_alert_events.id IS 'Order of the steps.';
COMMENT ON COLUMN system_alert_events.alert_id IS 'The alert.';
COMMENT ON COLUMN system_alert_events.time IS 'When it happened.';
COMMENT ON COLUMN system_alert_events.type IS 'opened, escalated, lowered, acknowledged or resolved.';
COMMENT ON COLUMN system_alert_events.level IS 'Level after the step.';
COMMENT ON COLUMN system_alert_events.value IS 'Value that led to the step.';
COMMENT ON COLUMN system_alert_events.threshold IS 'Limit it was compared with.';
COMMENT ON COLUMN system_alert_events.actor IS 'Who did it: a key or user, or auto.';
COMMENT ON COLUMN system_alert_events.comment IS 'What that person said.';

CREATE INDEX system_alert_events_alert ON system_alert_events (alert_id, id);
