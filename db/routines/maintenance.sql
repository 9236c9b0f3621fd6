-- One ordered procedure instead of independent policies: refresh, then compress, then drop.
--
-- Dropping rows logs them as changed, and a refresh that reached back that far would empty the
-- roll-ups made from them; so every refresh starts where its source still has everything. It always
-- reaches back that far, however long a pause was: TimescaleDB recomputes only what has changed. And it
-- ends ten minutes ago: what is newer is computed as it is read, so samples that arrive a little late
-- need no second refresh.
--
-- The moment is an argument, so that years can be replayed in a test.

CREATE OR REPLACE FUNCTION ceil_to(p_time timestamptz, p_width interval) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN time_bucket(p_width, p_time, timestamptz 'epoch') = p_time THEN p_time
                ELSE time_bucket(p_width, p_time, timestamptz 'epoch') + p_width END
$$;
COMMENT ON FUNCTION ceil_to IS 'The first start of a bucket at or after a time.';

-- The table that holds a tier's chunks: of an aggregate, the one behind it.
CREATE OR REPLACE FUNCTION tier_table(p_relation name) RETURNS regclass
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
         FROM timescaledb_information.continuous_aggregates WHERE view_name = p_relation),
        p_relation::text::regclass)
$$;
COMMENT ON FUNCTION tier_table IS 'Hypertable that holds the chunks of a tier.';

-- Where a tier can be recomputed from: the oldest whole bucket of which its source keeps everything.
CREATE OR REPLACE FUNCTION refresh_start(p_tier text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT ceil_to(greatest(source.dropped_to, tier.dropped_to, oldest.time), tier.width)
    FROM tiers tier
    JOIN tiers source ON source.name = tier.source
    CROSS JOIN LATERAL (
        SELECT min(c.range_start) AS time
        FROM timescaledb_information.chunks c
        WHERE format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass = tier_table(source.relation)
    ) oldest
    WHERE tier.name = p_tier AND oldest.time IS NOT NULL
$$;
COMMENT ON FUNCTION refresh_start IS 'First bucket of a tier that can be recomputed without loss; null: its source is empty.';

CREATE OR REPLACE PROCEDURE maintain(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    moment      timestamptz := coalesce((config ->> 'now')::timestamptz, now());
    settled     timestamptz := moment - interval '10 minutes';
    late_to     bigint;
    run         bigint;
    tier        record;
    chunk       record;
    window_from timestamptz;
    window_to   timestamptz;
    drop_to     timestamptz;
    chunks      integer;
BEGIN
    SELECT max(id) INTO late_to FROM late_ranges;
    IF late_to IS NULL AND coalesce((config ->> 'force')::boolean, false) IS FALSE
       AND moment < (SELECT max(started_at) FROM maintenance_runs WHERE finished_at IS NOT NULL)
                    + coalesce((config ->> 'every')::interval, interval '5 minutes') THEN
        RETURN;
    END IF;
    INSERT INTO maintenance_runs (started_at, step) VALUES (moment, 'start') RETURNING id INTO run;
    COMMIT;

    FOR tier IN SELECT * FROM tiers WHERE source IS NOT NULL ORDER BY position LOOP
        UPDATE maintenance_runs SET step = 'refresh ' || tier.name WHERE id = run;
        window_from := refresh_start(tier.name);
        window_to := time_bucket(tier.width, settled, timestamptz 'epoch');
        CONTINUE WHEN window_from IS NULL OR window_from >= window_to;
        COMMIT;
        CALL refresh_continuous_aggregate(tier.relation::text::regclass, window_from, window_to);
        UPDATE tiers SET refreshed_to = greatest(refreshed_to, window_to) WHERE name = tier.name;
        UPDATE maintenance_runs SET refreshed = refreshed + 1 WHERE id = run;
        COMMIT;
    END LOOP;
    DELETE FROM late_ranges WHERE id <= late_to;
    COMMIT;

    FOR tier IN SELECT * FROM tiers WHERE compress_after IS NOT NULL ORDER BY position LOOP
        UPDATE maintenance_runs SET step = 'compress ' || tier.name WHERE id = run;
        FOR chunk IN
            SELECT format('%I.%I', c.chunk_schema, c.chunk_name) AS name
            FROM timescaledb_information.chunks c
            WHERE format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass = tier_table(tier.relation)
              AND c.range_end <= moment - tier.compress_after AND NOT c.is_compressed
            ORDER BY c.range_start
        LOOP
            PERFORM compress_chunk(chunk.name::regclass, if_not_compressed => true);
            UPDATE maintenance_runs SET compressed = compressed + 1 WHERE id = run;
            COMMIT;
        END LOOP;
    END LOOP;

    FOR tier IN SELECT * FROM tiers WHERE keep IS NOT NULL ORDER BY position LOOP
        UPDATE maintenance_runs SET step = 'drop ' || tier.name WHERE id = run;
        -- Nothing that a roll-up has not taken in; and a new or shorter age acts from the next run on,
        -- when what was accepted under the old one has been taken in too.
        SELECT least(moment - greatest(tier.keep, tier.keep_applied), min(refreshed_to)) INTO drop_to
        FROM tiers WHERE source = tier.name;
        SELECT count(*), max(c.range_end) INTO chunks, drop_to
        FROM timescaledb_information.chunks c
        WHERE format('%I.%I', c.hypertable_schema, c.hypertable_name)::regclass = tier_table(tier.relation)
          AND c.range_end <= drop_to AND tier.keep_applied IS NOT NULL;
        IF chunks > 0 THEN
            PERFORM drop_chunks(tier.relation::text::regclass, older_than => drop_to);
            UPDATE tiers SET dropped_to = greatest(dropped_to, drop_to) WHERE name = tier.name;
        END IF;
        UPDATE tiers SET keep_applied = tier.keep WHERE name = tier.name;
        UPDATE maintenance_runs SET dropped = dropped + chunks WHERE id = run;
        COMMIT;
    END LOOP;

    DELETE FROM maintenance_runs WHERE started_at < moment - interval '30 days';
    UPDATE maintenance_runs SET step = 'done', finished_at = greatest(moment, clock_timestamp()) WHERE id = run;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE maintain IS 'Refreshes, compresses and drops, in that order; config may give now, every and force.';
