-- What each component's state is, and every check that said so.

CREATE TABLE component_status (
    component  text PRIMARY KEY,
    category   text NOT NULL,
    status     text CHECK (status IN ('healthy', 'warning', 'critical', 'down')),
    since      timestamptz NOT NULL,
    reason     text NOT NULL DEFAULT '',
    maintenance boolean NOT NULL DEFAULT false,
    last_check timestamptz NOT NULL,
    uptime_24h double precision
);
COMMENT ON TABLE component_status IS 'Present state of each component.';
COMMENT ON COLUMN component_status.component IS 'The component.';
COMMENT ON COLUMN component_status.category IS 'Category of the component.';
COMMENT ON COLUMN component_status.status IS 'healthy, warning, critical or down; null: not observed.';
COMMENT ON COLUMN component_status.since IS 'When the status became what it is.';
COMMENT ON COLUMN component_status.reason IS 'Why it is not healthy.';
COMMENT ON COLUMN component_status.maintenance IS 'Whether planned work is going on.';
COMMENT ON COLUMN component_status.last_check IS 'Time of the newest check.';
COMMENT ON COLUMN component_status.uptime_24h IS 'Share of the observed part of the last 24 h in which it was not down, in percent.';

CREATE TABLE component_checks (
    time         timestamptz NOT NULL,
    component    text NOT NULL,
    status       text,
    stands_for_s double precision NOT NULL,
    reason       text NOT NULL DEFAULT '',
    PRIMARY KEY (component, time)
);
COMMENT ON TABLE component_checks IS 'One row per component and check.';
COMMENT ON COLUMN component_checks.time IS 'When it was checked: the start of the slot the row stands for.';
COMMENT ON COLUMN component_checks.component IS 'The component.';
COMMENT ON COLUMN component_checks.status IS 'What the check found; null: not observed.';
COMMENT ON COLUMN component_checks.stands_for_s IS 'Seconds from time on that the row speaks for.';
COMMENT ON COLUMN component_checks.reason IS 'Why it is not healthy.';

SELECT create_hypertable(
    'component_checks', by_range('time', interval '7 days'), create_default_indexes => false
);
CREATE INDEX component_checks_time ON component_checks (time);
ALTER TABLE component_checks SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'component',
    timescaledb.compress_orderby = 'time DESC'
);

CREATE MATERIALIZED VIEW component_uptime_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false,
      timescaledb.chunk_interval = '28 days') AS
SELECT component,
       time_bucket(interval '1 hour', time) AS bucket,
       count(*) AS checks,
       sum(stands_for_s) FILTER (WHERE status = 'healthy') AS healthy_s,
       sum(stands_for_s) FILTER (WHERE status = 'warning') AS warning_s,
       sum(stands_for_s) FILTER (WHERE status = 'critical') AS critical_s,
       sum(stands_for_s) FILTER (WHERE status = 'down') AS down_s
FROM component_checks
GROUP BY component, time_bucket(interval '1 hour', time)
WITH NO DATA;
ALTER MATERIALIZED VIEW component_uptime_1h SET (
    timescaledb.compress = true,
    timescaledb.compress_segmentby = 'component',
    timescaledb.compress_orderby = 'bucket DESC'
);
COMMENT ON VIEW component_uptime_1h IS 'Seconds per component, hour and status.';
COMMENT ON COLUMN component_uptime_1h.component IS 'The component.';
COMMENT ON COLUMN component_uptime_1h.bucket IS 'Start of the hour.';
COMMENT ON COLUMN component_uptime_1h.checks IS 'Number of checks.';
COMMENT ON COLUMN component_uptime_1h.healthy_s IS 'Seconds healthy; null: none.';
COMMENT ON COLUMN component_uptime_1h.warning_s IS 'Seconds in warning; null: none.';
COMMENT ON COLUMN component_uptime_1h.critical_s IS 'Seconds critical; null: none.';
COMMENT ON COLUMN component_uptime_1h.down_s IS 'Seconds down; null: none.';

INSERT INTO tiers (name, relation, source, width, position) VALUES
    ('checks', 'component_checks', NULL, '0', 5),
    ('uptime_1h', 'component_uptime_1h', 'checks', '1 hour', 6);
