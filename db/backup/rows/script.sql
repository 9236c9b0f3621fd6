-- part: begin
-- A backup of Vigia, for psql: this file, the rows of each table, and the end of the script.
\set ON_ERROR_STOP on
SET client_encoding TO 'UTF8';
SET timezone TO 'UTC';
SET datestyle TO 'ISO, MDY';
SET intervalstyle TO 'postgres';
SET statement_timeout TO 0;
SET client_min_messages TO warning;

-- name: table
COPY {table} ({columns}) FROM stdin;

-- name: aggregate
-- The materialized table of an aggregate has another name in each database.
SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) AS behind
FROM timescaledb_information.continuous_aggregates WHERE view_schema = current_schema() AND view_name = {name} \gset
COPY :behind ({columns}) FROM stdin;

-- part: end_of_rows
\.

-- name: empty
-- Removes the rows that migrations insert. The backup has them too, as users have changed them.
TRUNCATE {tables};

-- name: sequence
SELECT setval({name}, {value});

-- name: applied
INSERT INTO schema_migrations (version, name, checksum) VALUES ({version}, {name}, {checksum});

-- part: show_aggregates
-- An aggregate shows its rows only up to the end of its newest refresh, and a restored one has had none. So the newest
-- bucket of each is refreshed, if its source still has the samples. Sources come before the aggregates made from them.
DO $$
DECLARE
    tier   record;
    newest timestamptz;
    known  boolean;
BEGIN
    FOR tier IN
        SELECT t.relation, t.width, source.relation AS source,
               CASE WHEN source.source IS NULL THEN 'time' ELSE 'bucket' END AS time
        FROM tiers t
        JOIN tiers source ON source.name = t.source
        ORDER BY t.position
    LOOP
        EXECUTE format('SELECT max(bucket) FROM %s', tier_table(tier.relation)) INTO newest;
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %I >= $1 AND %I < $2)', tier.source, tier.time, tier.time)
        INTO known USING newest, newest + tier.width;
        IF known THEN
            CALL refresh_continuous_aggregate(tier.relation::text::regclass, newest, newest + tier.width);
        END IF;
    END LOOP;
END
$$
