-- An ingest key may be bound to one component, and to labels that its series then have.

ALTER TABLE api_keys
    ADD COLUMN component text,
    ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT api_keys_bound_check CHECK (role = 'ingest' OR (component IS NULL AND labels = '{}'));

COMMENT ON COLUMN api_keys.component IS 'The only component that an ingest key writes; null: any.';
COMMENT ON COLUMN api_keys.labels IS 'Labels of every series that an ingest key writes.';
