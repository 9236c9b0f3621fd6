-- How long a provider takes is part of the delivery log.

ALTER TABLE deliveries ADD COLUMN duration_s double precision;
COMMENT ON COLUMN deliveries.duration_s IS 'How long the last try took; null: it was not tried, or another delivery carried it.';
