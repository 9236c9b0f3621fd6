-- name: lock
SELECT evaluated_at,
       EXISTS (SELECT FROM alert_rules WHERE kind = 'composite') AS has_composites,
       clock_timestamp() AS now
FROM evaluation_clock
FOR UPDATE

-- name: read_clock
SELECT evaluated_at, false AS has_composites, clock_timestamp() AS now
FROM evaluation_clock
