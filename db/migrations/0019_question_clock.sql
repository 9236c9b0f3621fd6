-- One replica asks the questions of rules in a minute: two would change the password of their login at once.

CREATE TABLE question_clock (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    asked_at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE question_clock IS 'The newest minute in which the questions of rules were asked: in each, one replica asks.';
COMMENT ON COLUMN question_clock.one IS 'There is one row.';
COMMENT ON COLUMN question_clock.asked_at IS 'That minute.';
INSERT INTO question_clock (asked_at) VALUES ('-infinity');
