-- The maintenance: one ordered procedure instead of independent policies.
--
-- 1. Delete the rows of metrics with their own retention.
-- 2. Refresh the roll-ups, each tier after its source.
-- 3. Compress old chunks.
-- 4. Drop chunks that are older than the retention of their tier.
--
-- Deleted rows are logged as changed. A refresh of their range would empty the roll-ups made from them, so every
-- refresh starts where its source is still complete. It always starts there, however long a pause was, because
-- TimescaleDB recomputes only changed ranges. It ends ten minutes ago: newer buckets are computed when they are read,
-- so that samples that are a little late need no second refresh.
--
-- The time is an argument, so that a test can simulate years. On an engine that runs one statement at a time, the
-- caller gives a budget: a run then pauses between two steps, and the next call continues it.

CREATE OR REPLACE FUNCTION ceil_to(p_time timestamptz, p_width interval) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN time_bucket(p_width, p_time, timestamptz 'epoch') = p_time THEN p_time
                ELSE time_bucket(p_width, p_time, timestamptz 'epoch') + p_width END
$$;
COMMENT ON FUNCTION ceil_to IS 'The first start of a bucket at or after a time.';

-- These functions are called often. TimescaleDB's views take longer to plan than to run, and PL/pgSQL caches plans.

-- The table with the chunks of a tier. For an aggregate that is its materialized table.
CREATE OR REPLACE FUNCTION tier_table(p_relation name) RETURNS regclass
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce(
        (SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
         FROM timescaledb_information.continuous_aggregates WHERE view_name = p_relation),
        p_relation::text::regclass);
END
$$;
COMMENT ON FUNCTION tier_table IS 'Hypertable with the chunks of a tier.';

CREATE OR REPLACE FUNCTION tier_chunks(p_tier text)
RETURNS TABLE (chunk regclass, start_time timestamptz, end_time timestamptz, is_compressed boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    hyper regclass := tier_table((SELECT relation FROM tiers WHERE name = p_tier));
BEGIN
    RETURN QUERY
    SELECT to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)), c.range_start, c.range_end, c.is_compressed
    FROM timescaledb_information.chunks c
    JOIN pg_class ON relname = c.hypertable_name AND relnamespace = c.hypertable_schema::regnamespace
    WHERE pg_class.oid = hyper AND to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name)) IS NOT NULL
    ORDER BY c.range_start;
END
$$;
COMMENT ON FUNCTION tier_chunks IS 'Chunks of a tier, oldest first.';

CREATE OR REPLACE FUNCTION is_partial(p_chunk regclass) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT _timescaledb_functions.chunk_status(p_chunk) & 8 <> 0
$$;
COMMENT ON FUNCTION is_partial IS 'Whether a chunk received rows after its compression.';

CREATE OR REPLACE FUNCTION compressed_part(p_chunk regclass) RETURNS regclass
LANGUAGE sql STABLE AS $$
    SELECT compress_relid FROM _timescaledb_catalog.compression_settings WHERE relid = p_chunk
$$;
COMMENT ON FUNCTION compressed_part IS 'Table with the compressed batches of a chunk; null: not compressed.';

-- The time from which a tier can be recomputed: the oldest bucket whose samples are all still in its source. It is null
-- if the source is a roll-up that was never refreshed: after an upgrade it can have rows that it does not show yet.
CREATE OR REPLACE FUNCTION refresh_start(p_tier text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT ceil_to(greatest(source.dropped_to, tier.dropped_to, oldest.time), tier.width)
        FROM tiers tier
        JOIN tiers source ON source.name = tier.source
        CROSS JOIN LATERAL (SELECT min(start_time) AS time FROM tier_chunks(source.name)) oldest
        WHERE tier.name = p_tier AND oldest.time IS NOT NULL
          AND (source.source IS NULL OR source.refreshed_to > '-infinity')
    );
END
$$;
COMMENT ON FUNCTION refresh_start IS
    'First bucket of a tier that can be recomputed without loss; null: its source is empty.';

-- Limits are whole UTC days, so that every roll-up loses whole buckets.
CREATE OR REPLACE FUNCTION series_ages(p_metrics jsonb, p_moment timestamptz)
RETURNS TABLE (before timestamptz, series integer[])
LANGUAGE sql STABLE AS $$
    SELECT age.before, array_agg(s.id ORDER BY s.id)
    FROM (SELECT key, time_bucket('1 day', p_moment
        - interval '1 day' * (value ->> 'keep_days')::double precision) AS before
          FROM jsonb_each(p_metrics)
          WHERE value ->> 'keep_days' IS NOT NULL) age
    JOIN series s ON s.metric = age.key
    GROUP BY 1
$$;
COMMENT ON FUNCTION series_ages IS
    'Series whose metrics have their own retention (see the setting retention), by the time before which rows go.';

CREATE OR REPLACE FUNCTION series_tiers() RETURNS TABLE (name text, hyper regclass, time_column name)
LANGUAGE sql STABLE AS $$
    SELECT t.name, hyper.oid, CASE WHEN t.source IS NULL THEN 'time' ELSE 'bucket' END
    FROM tiers t
    CROSS JOIN LATERAL (SELECT tier_table(t.relation) AS oid OFFSET 0) hyper
    JOIN pg_attribute a ON a.attrelid = hyper.oid AND a.attname = 'series_id'
    ORDER BY t.position
$$;
COMMENT ON FUNCTION series_tiers IS 'The tiers whose rows have a series.';

-- Returns the space of dead rows. VACUUM cannot run in a procedure, and does not shrink indexes.
CREATE OR REPLACE PROCEDURE pack(p_table regclass)
LANGUAGE plpgsql AS $$
BEGIN
    CALL await_backup();
    EXECUTE format('CLUSTER %s USING %I', p_table,
                   (SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                    WHERE indrelid = p_table ORDER BY indexrelid LIMIT 1));
    COMMIT;
END
$$;
COMMENT ON PROCEDURE pack IS 'Rewrites a table without its dead rows.';

-- Deletes the rows of series that are older than the retention of their metric, chunk by chunk. All tiers lose the
-- same whole days, so that the rest of a roll-up still equals the result from its source.
CREATE OR REPLACE PROCEDURE drop_metrics(
    p_moment timestamptz, p_from timestamptz, p_ends_at timestamptz, INOUT p_paused boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    part    record;
    count   bigint;
    batches bigint;
BEGIN
    FOR part IN
        SELECT c.*, t.hyper, t.time_column, age.before, age.series
        FROM monitoring_config
        CROSS JOIN LATERAL series_ages(value -> 'metrics', p_moment) age
        CROSS JOIN series_tiers() t
        CROSS JOIN LATERAL tier_chunks(t.name) c
        WHERE key = 'retention' AND c.start_time < age.before AND c.end_time > p_from
    LOOP
        batches := 0;
        count := 0;
        -- Delete whole compressed batches without reading them. Not every version of TimescaleDB does this
        -- itself: some decompress each batch, and leave the space of its rows in the chunk.
        IF part.is_compressed THEN
            EXECUTE format('DELETE FROM %s WHERE series_id = ANY (%L) AND _ts_meta_max_1 < %L',
                           compressed_part(part.chunk), part.series, part.before);
            GET DIAGNOSTICS batches = ROW_COUNT;
        END IF;
        IF NOT part.is_compressed OR part.end_time > part.before OR is_partial(part.chunk) THEN
            PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
            EXECUTE format('DELETE FROM %s WHERE series_id = ANY (%L) AND %I >= %L AND %I < %L',
                           part.hyper, part.series, part.time_column, part.start_time,
                           part.time_column, least(part.end_time, part.before));
            GET DIAGNOSTICS count = ROW_COUNT;
        END IF;
        COMMIT;
        IF batches > 0 THEN
            CALL pack(compressed_part(part.chunk));
        END IF;
        p_paused := batches + count > 0 AND clock_timestamp() > p_ends_at;
        EXIT WHEN p_paused;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE drop_metrics IS
    'Deletes rows older than the retention of their metric, in chunks that end after p_from.';

-- Refreshes one tier, as far back as its source is complete. A large range is refreshed in parts that last about
-- `p_part`, so that neither a first fill nor many late samples become one long statement. Each part begins where the
-- part before ended, so that `refreshed_to` never skips a gap. A paused run continues there, even if late samples have
-- arrived meanwhile. Otherwise it would repeat finished parts at each step.
CREATE OR REPLACE PROCEDURE refresh_tier(
    p_tier text, p_settled timestamptz, p_part interval, p_ends_at timestamptz, p_goes_on boolean,
    INOUT p_paused boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    tier      tiers := (SELECT t FROM tiers t WHERE name = p_tier);
    step      interval := least(tier.refresh_step, interval '1 hour');
    part_from timestamptz := refresh_start(p_tier);
    part_to   timestamptz;
    known_to  timestamptz;
    last_to   timestamptz := time_bucket(tier.width, p_settled, timestamptz 'epoch');
    began_at  timestamptz;
BEGIN
    IF part_from IS NULL OR part_from >= last_to THEN
        RETURN;
    END IF;
    known_to := time_bucket(tier.width, greatest(part_from, least(tier.refreshed_to, tier.late_from)),
        timestamptz 'epoch');
    part_from := CASE WHEN p_goes_on THEN known_to ELSE part_from END;
    part_to := CASE WHEN known_to < last_to - step THEN known_to ELSE last_to END;
    LOOP
        began_at := clock_timestamp();
        IF part_from < part_to THEN
            COMMIT;
            CALL refresh_continuous_aggregate(tier.relation::text::regclass, part_from, part_to);
            step := CASE WHEN clock_timestamp() > began_at + p_part THEN greatest(step / 2, 10 * tier.width)
                         WHEN clock_timestamp() < began_at + 0.4 * p_part THEN step * 2
                         ELSE step END;
            UPDATE tiers
            SET refreshed_to = greatest(refreshed_to, part_to), late_from = greatest(late_from, part_to),
                refresh_step = step
            WHERE name = p_tier;
            COMMIT;
        END IF;
        EXIT WHEN part_to = last_to;
        p_paused := part_to > known_to AND clock_timestamp() > p_ends_at;
        EXIT WHEN p_paused;
        part_from := part_to;
        part_to := least(last_to, ceil_to(part_to + step, tier.width));
    END LOOP;
END
$$;
COMMENT ON PROCEDURE refresh_tier IS
    'Refreshes a tier as far back as its source is complete, in parts if much has changed.';

-- Compresses the chunks of a tier that are old enough. Chunks that received samples since then are compressed again if
-- they end before p_quiet_to. A late sample makes the roll-up decompress the rows of every series around it, so that
-- much space is returned by the second compression.
CREATE OR REPLACE PROCEDURE compress_tier(
    p_tier text, p_old timestamptz, p_quiet_to timestamptz, p_run bigint, p_ends_at timestamptz,
    INOUT p_paused boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT * FROM tier_chunks(p_tier)
        WHERE end_time <= p_old AND (NOT is_compressed OR end_time <= p_quiet_to AND is_partial(chunk))
    LOOP
        CALL await_backup();
        PERFORM compress_chunk(part.chunk);
        UPDATE maintenance_runs SET compressed = compressed + 1 WHERE id = p_run;
        COMMIT;
        IF part.is_compressed THEN
            CALL pack(part.chunk);
            CALL pack(compressed_part(part.chunk));
        END IF;
        p_paused := clock_timestamp() > p_ends_at;
        EXIT WHEN p_paused;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE compress_tier IS 'Compresses the chunks of a tier that ended before p_old.';

-- `p_settled` is for a preview: it assumes that everything before that time will be rolled up by then. The maintenance
-- itself does not assume that.
CREATE OR REPLACE FUNCTION drop_limit(
    p_tier text, p_age interval, p_moment timestamptz, p_settled timestamptz DEFAULT NULL
) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT least(p_moment - p_age,
                 min(greatest(refreshed_to, time_bucket(width, p_settled, timestamptz 'epoch'))))
    FROM tiers
    WHERE source = p_tier
$$;
COMMENT ON FUNCTION drop_limit IS 'The time before which data are older than a retention and rolled up.';

-- Drops the chunks of a tier that are older than its retention, but none that is not rolled up yet. A new or shorter
-- retention takes effect one run later (`keep_applied`), when the samples accepted under the old one are rolled up too.
CREATE OR REPLACE PROCEDURE drop_tier(p_tier text, p_moment timestamptz, p_run bigint)
LANGUAGE plpgsql AS $$
DECLARE
    tier    tiers;
    drop_to timestamptz;
    chunks  integer;
BEGIN
    CALL await_backup();
    -- Lock the row: a longer retention that is set meanwhile must wait, because these chunks are being dropped.
    SELECT * INTO tier FROM tiers WHERE name = p_tier FOR UPDATE;
    drop_to := drop_limit(p_tier, greatest(tier.keep, tier.keep_applied), p_moment);
    SELECT count(*), max(end_time) INTO chunks, drop_to
    FROM tier_chunks(p_tier)
    WHERE end_time <= drop_to AND tier.keep_applied IS NOT NULL;
    IF chunks > 0 THEN
        PERFORM drop_chunks(tier.relation::text::regclass, older_than => drop_to);
        UPDATE tiers SET dropped_to = greatest(dropped_to, drop_to) WHERE name = p_tier;
    END IF;
    UPDATE tiers SET keep_applied = tier.keep WHERE name = p_tier AND keep_applied IS DISTINCT FROM tier.keep;
    UPDATE maintenance_runs SET dropped = dropped + chunks WHERE id = p_run;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE drop_tier IS 'Drops the chunks of a tier that are older than its retention and rolled up.';

-- A refresh rewrites every bucket of its range, and leaves dead rows. On an engine without autovacuum, these chunks are
-- vacuumed after each run with late samples, so that the next refresh can reuse their space.
CREATE OR REPLACE FUNCTION rewritten_tables() RETURNS TABLE (name text)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT rewritten.part::text
    FROM (SELECT late_from FROM maintenance_runs ORDER BY id DESC LIMIT 1) run
    JOIN tiers ON source IS NOT NULL AND refreshed_to > run.late_from
    CROSS JOIN LATERAL tier_chunks(tiers.name) c
    CROSS JOIN LATERAL unnest(ARRAY[c.chunk, compressed_part(c.chunk)]) rewritten (part)
    WHERE c.end_time > run.late_from AND c.start_time < refreshed_to AND rewritten.part IS NOT NULL;
END
$$;
COMMENT ON FUNCTION rewritten_tables IS 'Chunks of roll-ups in which the newest run of the maintenance replaced rows.';

-- Begins a run, or continues a paused one; null: neither is due. A run handles the late samples that exist when it
-- begins. Later ones are for the next run. Otherwise, under a steady flow of late samples, a run would restart at each
-- step and never reach its later tiers.
CREATE OR REPLACE FUNCTION begin_run(p_moment timestamptz, p_every interval, p_force boolean)
RETURNS TABLE (id bigint, is_due boolean, late_from timestamptz, tiers_done integer)
LANGUAGE plpgsql AS $$
DECLARE
    paused  maintenance_runs;
    before  maintenance_runs;
    oldest  timestamptz;
BEGIN
    SELECT * INTO paused FROM maintenance_runs r ORDER BY r.id DESC LIMIT 1;
    IF paused.step NOT LIKE 'paused %' OR paused.finished_at IS NOT NULL THEN
        paused := NULL;
    END IF;
    SELECT * INTO before FROM maintenance_runs r WHERE r.id IS DISTINCT FROM paused.id ORDER BY r.id DESC LIMIT 1;
    is_due := p_force OR before.finished_at IS NULL
        OR time_bucket(p_every, before.started_at, timestamptz 'epoch')
           <> time_bucket(p_every, coalesce(paused.started_at, p_moment), timestamptz 'epoch');
    IF paused.id IS NOT NULL THEN
        RETURN QUERY SELECT paused.id, is_due, paused.late_from, paused.refreshed;
        RETURN;
    END IF;
    WITH taken AS (DELETE FROM late_ranges RETURNING start_time)
    SELECT min(start_time) INTO oldest FROM taken;
    IF oldest IS NULL AND NOT is_due THEN
        RETURN;
    END IF;
    UPDATE tiers t SET late_from = least(t.late_from, oldest) WHERE t.source IS NOT NULL;
    RETURN QUERY
    INSERT INTO maintenance_runs AS r (started_at, step, late_from)
    SELECT p_moment, 'start', min(t.late_from) FROM tiers t
    RETURNING r.id, begin_run.is_due, r.late_from, 0;
END
$$;
COMMENT ON FUNCTION begin_run IS
    'The run to begin or continue, and the oldest late sample that it handles.';

CREATE OR REPLACE PROCEDURE maintain(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    moment    timestamptz := coalesce((config ->> 'now')::timestamptz, now());
    every     interval := coalesce((config ->> 'every')::interval, interval '5 minutes');
    ends_at   timestamptz := coalesce(clock_timestamp() + (config ->> 'budget')::interval, 'infinity');
    part      interval := greatest(interval '0.1 seconds', least(interval '1 second', (config ->> 'budget')::interval));
    paused_in text := (SELECT step FROM maintenance_runs ORDER BY id DESC LIMIT 1);
    is_paused boolean := false;
    begun     record;
    run       bigint;
    tier      record;
BEGIN
    SELECT * INTO begun FROM begin_run(moment, every, coalesce((config ->> 'force')::boolean, false));
    run := begun.id;
    IF run IS NULL THEN
        RETURN;
    END IF;

    IF begun.tiers_done = 0 THEN
        UPDATE maintenance_runs SET step = 'drop metrics' WHERE id = run;
        COMMIT;
        CALL drop_metrics(moment, CASE WHEN begun.is_due THEN '-infinity' ELSE begun.late_from END, ends_at, is_paused);
    END IF;

    FOR tier IN SELECT * FROM tiers WHERE source IS NOT NULL ORDER BY position OFFSET begun.tiers_done LOOP
        EXIT WHEN is_paused;
        UPDATE maintenance_runs SET step = 'refresh ' || tier.name WHERE id = run;
        CALL refresh_tier(tier.name, moment - interval '10 minutes', part, ends_at,
                          paused_in = 'paused in refresh ' || tier.name, is_paused);
        UPDATE maintenance_runs SET refreshed = refreshed + 1 WHERE id = run AND NOT is_paused;
        UPDATE tiers SET late_from = 'infinity' WHERE name = tier.name AND NOT is_paused AND late_from < 'infinity';
        COMMIT;
    END LOOP;

    FOR tier IN SELECT * FROM tiers WHERE compress_after IS NOT NULL ORDER BY position LOOP
        EXIT WHEN is_paused;
        UPDATE maintenance_runs SET step = 'compress ' || tier.name WHERE id = run;
        CALL compress_tier(tier.name, moment - tier.compress_after,
                           CASE WHEN begun.is_due THEN begun.late_from ELSE '-infinity' END, run, ends_at, is_paused);
    END LOOP;

    FOR tier IN SELECT * FROM tiers WHERE keep IS NOT NULL ORDER BY position LOOP
        EXIT WHEN is_paused;
        UPDATE maintenance_runs SET step = 'drop ' || tier.name WHERE id = run;
        CALL drop_tier(tier.name, moment, run);
    END LOOP;

    IF is_paused THEN
        UPDATE maintenance_runs SET step = 'paused in ' || step WHERE id = run;
    ELSE
        DELETE FROM maintenance_runs WHERE started_at < moment - interval '30 days';
        UPDATE maintenance_runs SET step = 'done', finished_at = greatest(moment, clock_timestamp()) WHERE id = run;
    END IF;
    COMMIT;
END
$$;
COMMENT ON PROCEDURE maintain IS
    'Refreshes, compresses and drops, in that order; config may give now, every, force and a budget of time.';
