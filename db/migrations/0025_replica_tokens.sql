-- By its token a process tells the database it learned from, from a copy of it: a copy, a restored or a promoted
-- database holds an older token than the process wrote last.

CREATE TABLE replica_tokens (
    replica    uuid PRIMARY KEY,
    token      uuid NOT NULL,
    written_at timestamptz NOT NULL
);
COMMENT ON TABLE replica_tokens IS 'What each running process of Vigia wrote last, every 10 s. Rows of ended processes go after a day.';
COMMENT ON COLUMN replica_tokens.replica IS 'The process; another one after each start.';
COMMENT ON COLUMN replica_tokens.token IS 'A random value that only this process and this database know.';
COMMENT ON COLUMN replica_tokens.written_at IS 'When it was written.';
