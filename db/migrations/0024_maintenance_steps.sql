-- The maintenance works in short steps where it holds the only session: each tier keeps how far it has come.

ALTER TABLE tiers
    ADD COLUMN late_from timestamptz NOT NULL DEFAULT 'infinity',
    ADD COLUMN refresh_step interval NOT NULL DEFAULT '1 hour';
COMMENT ON COLUMN tiers.late_from IS 'From here on, late samples are not rolled up yet; infinity: all are.';
COMMENT ON COLUMN tiers.refresh_step IS 'How much time of samples one step of a refresh takes, as fast as the last ones were.';

ALTER TABLE maintenance_runs
    ADD COLUMN late_from timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN maintenance_runs.late_from IS 'Oldest late sample that the run rolled up; infinity: none was late.';

-- It takes other arguments now.
DROP PROCEDURE IF EXISTS refresh_tier(text, timestamptz, timestamptz, timestamptz, boolean);
