-- Samples that came after alerts had looked at their minute, so that a preview can say where it sees more than they did.

-- Not part of any transaction: whoever stores samples sees at once that an evaluation has begun, and waits for none.
CREATE SEQUENCE alert_minute;
COMMENT ON SEQUENCE alert_minute IS 'The minute whose evaluation began last, in seconds since 1970; never called: none has.';
SELECT setval('alert_minute', extract(epoch FROM evaluated_at)::bigint)
FROM alert_clock
WHERE evaluated_at IS NOT NULL;

-- A row per series and day, however much comes late; a steady stream updates it in place.
CREATE TABLE late_samples (
    series_id  integer NOT NULL REFERENCES series ON DELETE CASCADE,
    day        date NOT NULL,
    start_time timestamptz NOT NULL,
    end_time   timestamptz NOT NULL,
    arrived_at timestamptz NOT NULL,
    samples    bigint NOT NULL,
    PRIMARY KEY (series_id, day)
) WITH (fillfactor = 50);
COMMENT ON TABLE late_samples IS 'Samples that were stored when the evaluation of alerts had already looked at their minute.';
COMMENT ON COLUMN late_samples.series_id IS 'The series.';
COMMENT ON COLUMN late_samples.day IS 'The day, in UTC, that the samples are of.';
COMMENT ON COLUMN late_samples.start_time IS 'Time of the oldest of them.';
COMMENT ON COLUMN late_samples.end_time IS 'Time of the newest of them.';
COMMENT ON COLUMN late_samples.arrived_at IS 'When the last of them was stored.';
COMMENT ON COLUMN late_samples.samples IS 'How many there are; of a batch that filled gaps between samples that it sent again, all are counted.';
