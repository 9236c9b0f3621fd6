-- Samples, the series they belong to, and the newest sample of each series.

CREATE TABLE series (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    metric     text NOT NULL,
    component  text NOT NULL,
    category   text NOT NULL,
    labels     jsonb NOT NULL DEFAULT '{}',
    unit       text NOT NULL DEFAULT '',
    kind       text NOT NULL DEFAULT 'gauge',
    resolution double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (metric, component, labels)
);
COMMENT ON TABLE series IS 'What is measured: one row per metric, component and label set.';
COMMENT ON COLUMN series.id IS 'Number of the series in every table of samples.';
COMMENT ON COLUMN series.metric IS 'Name of the metric: subject, what, unit.';
COMMENT ON COLUMN series.component IS 'Component the metric belongs to.';
COMMENT ON COLUMN series.category IS 'system, trading, database, external or security.';
COMMENT ON COLUMN series.labels IS 'Labels that tell series of one metric apart: an object of texts.';
COMMENT ON COLUMN series.unit IS 'Unit of the values, such as percent, ms or bytes; empty for counts.';
COMMENT ON COLUMN series.kind IS 'gauge, counter or distribution.';
COMMENT ON COLUMN series.resolution IS 'Power of two that values are rounded to before storing; null: as they come.';
COMMENT ON COLUMN series.created_at IS 'When the series was first seen.';

CREATE INDEX series_component ON series (component);

-- Updated on every flush, so it leaves room on its pages for updates in place.
CREATE TABLE series_state (
    series_id  integer PRIMARY KEY REFERENCES series ON DELETE CASCADE,
    first_time timestamptz NOT NULL,
    last_time  timestamptz NOT NULL,
    last_value double precision NOT NULL,
    reason     text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
COMMENT ON TABLE series_state IS 'The newest sample of each series, and when its first one was.';
COMMENT ON COLUMN series_state.series_id IS 'The series.';
COMMENT ON COLUMN series_state.first_time IS 'Time of the oldest sample ever stored.';
COMMENT ON COLUMN series_state.last_time IS 'Time of the newest sample.';
COMMENT ON COLUMN series_state.last_value IS 'Value of the newest sample.';
COMMENT ON COLUMN series_state.reason IS 'Why the newest sample is what it is: the cause of a component_up of 0.';

CREATE TABLE system_metrics (
    time      timestamptz NOT NULL,
    series_id integer NOT NULL,
    value     double precision NOT NULL,
    PRIMARY KEY (series_id, time)
);
COMMENT ON TABLE system_metrics IS 'Samples: one row per series and time.';
COMMENT ON COLUMN system_metrics.time IS 'When the value was measured.';
COMMENT ON COLUMN system_metrics.series_id IS 'The series; see table series, or read view metrics.';
COMMENT ON COLUMN system_metrics.value IS 'The value, rounded to the resolution of its series.';

SELECT create_hypertable(
    'system_metrics', by_range('time', interval '1 day'), create_default_indexes => false
);
CREATE INDEX system_metrics_time ON system_metrics (time);
ALTER TABLE system_metrics SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'series_id',
    timescaledb.compress_orderby = 'time DESC'
);

-- A doorbell for the maintenance, not a proof: TimescaleDB's own log of invalidations is that.
CREATE TABLE late_ranges (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL
);
COMMENT ON TABLE late_ranges IS 'Ranges that got samples after their aggregates were refreshed; the next maintenance takes them.';
COMMENT ON COLUMN late_ranges.id IS 'Order of arrival.';
COMMENT ON COLUMN late_ranges.start_time IS 'Oldest late sample of a batch.';
COMMENT ON COLUMN late_ranges.end_time IS 'Newest late sample of a batch.';
