-- A newest sample that a clock gave, which was wrong, gives way to those that come; exports still have to find it.

ALTER TABLE series_state ADD COLUMN ahead_time timestamptz;
COMMENT ON COLUMN series_state.ahead_time IS 'Time of the newest sample that lay in the future when an earlier one took its place; null: none.';
COMMENT ON COLUMN series_state.last_time IS 'Time of the newest sample; of one too far in the future only until another comes.';
