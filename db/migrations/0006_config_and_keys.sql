-- Settings that people change at run time, and who may do what.

CREATE TABLE monitoring_config (
    key        text PRIMARY KEY,
    value      jsonb NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL
);
COMMENT ON TABLE monitoring_config IS 'Settings that were changed; the others have their defaults.';
COMMENT ON COLUMN monitoring_config.key IS 'Name of the setting.';
COMMENT ON COLUMN monitoring_config.value IS 'Its value.';
COMMENT ON COLUMN monitoring_config.updated_at IS 'When it was changed.';
COMMENT ON COLUMN monitoring_config.updated_by IS 'Who changed it.';

CREATE TABLE monitoring_config_history (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        text NOT NULL,
    old_value  jsonb,
    new_value  jsonb,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
);
COMMENT ON TABLE monitoring_config_history IS 'Each change of a setting: the audit.';
COMMENT ON COLUMN monitoring_config_history.id IS 'Order of the changes.';
COMMENT ON COLUMN monitoring_config_history.key IS 'Name of the setting.';
COMMENT ON COLUMN monitoring_config_history.old_value IS 'Value before; null: the default.';
COMMENT ON COLUMN monitoring_config_history.new_value IS 'Value after; null: the default.';
COMMENT ON COLUMN monitoring_config_history.changed_at IS 'When.';
COMMENT ON COLUMN monitoring_config_history.changed_by IS 'Who.';

CREATE TABLE api_keys (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('ingest', 'viewer', 'operator', 'admin')),
    hash         bytea NOT NULL UNIQUE,
    prefix       text NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    revoked_at   timestamptz
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (name) WHERE revoked_at IS NULL;
COMMENT ON TABLE api_keys IS 'Keys of programs and people; only a hash of each is kept.';
COMMENT ON COLUMN api_keys.id IS 'Number of the key.';
COMMENT ON COLUMN api_keys.name IS 'Name of its holder, as in every audit.';
COMMENT ON COLUMN api_keys.role IS 'ingest, viewer, operator or admin.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the whole key.';
COMMENT ON COLUMN api_keys.prefix IS 'First characters, to recognise it.';
COMMENT ON COLUMN api_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN api_keys.created_by IS 'Who made it.';
COMMENT ON COLUMN api_keys.revoked_at IS 'When it stopped being valid; null: it is valid.';

CREATE TABLE sessions (
    hash       bytea PRIMARY KEY,
    key_id     integer REFERENCES api_keys ON DELETE CASCADE,
    name       text NOT NULL,
    role       text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE sessions IS 'Browsers that are signed in; only a hash of the cookie is kept.';
COMMENT ON COLUMN sessions.hash IS 'SHA-256 of the cookie.';
COMMENT ON COLUMN sessions.key_id IS 'Key it was opened with, whose end ends it; null: the bootstrap key or a sign-in link.';
COMMENT ON COLUMN sessions.name IS 'Name of the holder.';
COMMENT ON COLUMN sessions.role IS 'What it may do.';
COMMENT ON COLUMN sessions.created_at IS 'When the browser signed in.';
COMMENT ON COLUMN sessions.expires_at IS 'When it ends by itself.';

CREATE TABLE sign_in_links (
    hash       bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_links IS 'Links that sign a browser in as admin once; using one removes it.';
COMMENT ON COLUMN sign_in_links.hash IS 'SHA-256 of the token in the link.';
COMMENT ON COLUMN sign_in_links.expires_at IS 'When it stops being valid.';
