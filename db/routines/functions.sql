-- The documented functions for analysts. Functions that read tables run with the rights of their owner, so
-- that a reader needs no rights on the tables. reader.sql grants the right to call them.

DROP FUNCTION IF EXISTS history(text, timestamptz, timestamptz, interval, text);
DROP FUNCTION IF EXISTS history_buckets(text, integer[], timestamptz, timestamptz, interval);
DROP FUNCTION IF EXISTS history_tier(timestamptz, interval);
DROP FUNCTION IF EXISTS tier_for(text, text, timestamptz, interval);

-- Named row types: their columns can have comments, and the same names as parameters.
DO $$
BEGIN
    IF to_regtype('history_row') IS NULL THEN
        CREATE TYPE history_row AS (
            "time" timestamptz, component text, labels jsonb, avg double precision, min double precision,
            max double precision, sum double precision, count bigint, first double precision,
            last double precision, stddev double precision
        );
        CREATE TYPE rate_row AS (
            "time" timestamptz, component text, labels jsonb, increase double precision, rate double precision
        );
        CREATE TYPE percentile_row AS (
            "time" timestamptz, component text, labels jsonb, quantile double precision, value double precision
        );
    END IF;
    -- CREATE OR REPLACE cannot change the names of parameters or the type of the result.
    IF to_regtype('uptime_row') IS NULL THEN
        CREATE TYPE uptime_row AS (up_s double precision, down_s double precision, availability double precision);
        DROP FUNCTION IF EXISTS uptime(text, timestamptz, timestamptz);
    END IF;
END
$$;

-- The tiers of a family of roll-ups that can answer a query, in the order in which they are tried:
--
-- 1. All tiers, coarsest first, each with the time from which it still has data. A tier fits if its width divides the
--    step (its buckets then add up without loss) and it has data from the start of the query or earlier.
-- 2. If none has data from the start, all tiers again, the one with the oldest data first. Then only the width counts.
--
-- tier_for() tries them for the functions below, and history/reader.py for the API. It is PL/pgSQL because a session
-- caches its plan: planning would take longer than the query.
CREATE OR REPLACE FUNCTION tier_choices()
RETURNS TABLE (family text, relation name, width interval, answers_from timestamptz, place bigint)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY
    SELECT f.family, t.relation, t.width, c.answers_from,
           row_number() OVER (ORDER BY c.is_last_resort, CASE WHEN c.is_last_resort THEN t.dropped_to END, t.width DESC)
    FROM (VALUES ('system_metrics', 'system_metrics'), ('system_counters', 'system_metrics'),
                 ('system_distributions', 'system_distributions')) AS f (family, written)
    JOIN tiers t ON t.relation = f.written OR starts_with(t.relation, f.family || '_')
    CROSS JOIN LATERAL (VALUES (false, t.dropped_to), (true, '-infinity')) AS c (is_last_resort, answers_from);
END
$$;
COMMENT ON FUNCTION tier_choices IS 'The tiers that can answer for a family, in the order in which they are tried.';

CREATE OR REPLACE FUNCTION tier_for(p_family text, p_start timestamptz, p_step interval) RETURNS tiers
LANGUAGE sql STABLE AS $$
    SELECT t
    FROM tier_choices() c
    JOIN tiers t ON t.relation = c.relation
    WHERE c.family = p_family
      AND c.answers_from <= p_start
      -- Raw samples have no width, and fit any step.
      AND coalesce(mod(extract(epoch FROM p_step), nullif(extract(epoch FROM c.width), 0)), 0) = 0
    ORDER BY c.place
    LIMIT 1
$$;
COMMENT ON FUNCTION tier_for IS 'The tier that answers for a family, a start and a step.';

-- The increase of a counter over a sample or a bucket, and the seconds it covers. Growth counts from the sample before.
-- The last sample of the bucket before (`last_before`) counts only if it is near. A counter that decreased has
-- restarted from zero. The planner inlines both functions.
CREATE OR REPLACE FUNCTION counter_increase(
    first double precision, last double precision, resets double precision, last_before double precision,
    is_near boolean
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT last - first + resets
               + CASE WHEN is_near THEN first - CASE WHEN first < last_before THEN 0 ELSE last_before END ELSE 0 END
$$;
COMMENT ON FUNCTION counter_increase IS 'Increase of a counter over samples, from the sample before if that is near.';

CREATE OR REPLACE FUNCTION counter_seconds(
    first_time timestamptz, last_time timestamptz, time_before timestamptz, is_near boolean
) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT extract(epoch FROM last_time - CASE WHEN is_near THEN time_before ELSE first_time END)
$$;
COMMENT ON FUNCTION counter_seconds IS 'The seconds that counter_increase covers.';

-- The standard deviation from the sum of squared distances from the mean. Old roll-ups do not have that sum (NaN).
CREATE OR REPLACE FUNCTION stddev_of(m2 double precision, count double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT nullif(sqrt(m2) / sqrt(count), 'NaN')
$$;
COMMENT ON FUNCTION stddev_of IS 'Standard deviation of samples from the sum of squared distances; null: unknown.';

-- Series by metric, component and labels. `is_all` says whether all of them have a kind with its own roll-ups.
CREATE OR REPLACE FUNCTION find_series(
    p_metric text, p_component text, p_labels jsonb, p_kind text, OUT ids integer[], OUT is_all boolean
)
LANGUAGE sql STABLE AS $$
    SELECT array_agg(id), bool_and(kind = p_kind)
    FROM series
    WHERE metric = p_metric
      AND (p_component IS NULL OR component = p_component)
      AND labels @> p_labels
$$;
COMMENT ON FUNCTION find_series IS 'Numbers of the series of a metric, and whether all of them have a given kind.';

CREATE OR REPLACE FUNCTION history(
    metric text, start timestamptz, "end" timestamptz, step interval,
    component text DEFAULT NULL, labels jsonb DEFAULT '{}'
) RETURNS SETOF history_row
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_bucket timestamptz := time_bucket(step, start, timestamptz 'epoch');
    end_bucket   timestamptz := time_bucket(step, "end" - interval '1 microsecond', timestamptz 'epoch') + step;
    found        record := find_series(metric, component, labels, 'gauge');
    tier         tiers := tier_for('system_metrics', first_bucket, step);
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT b.time, s.component, s.labels, b.avg, b.min, b.max, b.sum, b.count, b.first, b.last, b.stddev
         FROM (SELECT r.series_id, time_bucket($4, r.%2$I, timestamptz ''epoch'') AS time, %3$s
               FROM %1$I r
               WHERE r.series_id = ANY ($1) AND r.%2$I >= $2 AND r.%2$I < $3
               GROUP BY 1, 2) b
         JOIN series s ON s.id = b.series_id
         ORDER BY s.component, s.labels, b.time',
        tier.relation,
        CASE WHEN tier.source IS NULL THEN 'time' ELSE 'bucket' END,
        CASE WHEN tier.source IS NULL
             THEN 'avg(r.value) AS avg, min(r.value) AS min, max(r.value) AS max, sum(r.value) AS sum,
                   count(*) AS count, first(r.value, r.time) AS first, last(r.value, r.time) AS last,
                   stddev_pop(r.value) AS stddev'
             ELSE 'sum(r.sum) / sum(r.count)::double precision AS avg, min(r.min) AS min, max(r.max) AS max,
                   sum(r.sum) AS sum, sum(r.count)::bigint AS count, first(r.first, r.bucket) AS first,
                   last(r.last, r.bucket) AS last,
                   stddev_of((merge_moments(ARRAY[r.count, r.sum, r.m2]))[3],
                       sum(r.count)::double precision) AS stddev' END
    ) USING found.ids, first_bucket, end_bucket, step;
END
$$;
COMMENT ON FUNCTION history IS
    'A metric in buckets of a step, from the tier that fits: every bucket that overlaps start to end.';

-- The increase of counters, and the increase per second. Growth counts from each sample to the next one. The sample
-- before a bucket counts if it is in the bucket before.
CREATE OR REPLACE FUNCTION rate(
    metric text, start timestamptz, "end" timestamptz, step interval,
    component text DEFAULT NULL, labels jsonb DEFAULT '{}'
) RETURNS SETOF rate_row
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_bucket timestamptz := time_bucket(step, start, timestamptz 'epoch');
    end_bucket   timestamptz := time_bucket(step, "end" - interval '1 microsecond', timestamptz 'epoch') + step;
    found        record := find_series(metric, component, labels, 'counter');
    family       text := CASE WHEN found.is_all THEN 'system_counters' ELSE 'system_metrics' END;
    tier         tiers := CASE WHEN found.is_all THEN tier_for(family, first_bucket, step)
                               ELSE (SELECT t FROM tiers t WHERE t.relation = family) END;
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH part AS (
             SELECT r.series_id, time_bucket($5, r.%2$I, timestamptz ''epoch'') AS slot, %3$s
             FROM %1$I r
             WHERE r.series_id = ANY ($1) AND r.%2$I >= $2 AND r.%2$I < $4
         ), pair AS (
             SELECT *,
                    lag(last) OVER earlier AS last_before,
                    lag(last_time) OVER earlier AS time_before,
                    lag(slot) OVER earlier >= slot - $5 AS is_near
             FROM part
             WINDOW earlier AS (PARTITION BY series_id ORDER BY first_time)
         ), moved AS (
             SELECT series_id, slot,
                    counter_increase(first, last, resets, last_before, is_near) AS increase,
                    counter_seconds(first_time, last_time, time_before, is_near) AS seconds
             FROM pair
             WHERE slot >= $3
         ), added AS (
             SELECT series_id, slot, sum(increase) AS increase, nullif(sum(seconds), 0)::double precision AS seconds
             FROM moved
             GROUP BY series_id, slot
         )
         SELECT a.slot, s.component, s.labels, a.increase, a.increase / a.seconds
         FROM added a
         JOIN series s ON s.id = a.series_id
         ORDER BY s.component, s.labels, a.slot',
        tier.relation,
        CASE WHEN tier.source IS NULL THEN 'time' ELSE 'bucket' END,
        CASE WHEN tier.source IS NULL
             THEN 'r.time AS first_time, r.time AS last_time, r.value AS first, r.value AS last, 0 AS resets'
             ELSE 'r.first_time, r.last_time, r.first, r.last, r.resets' END
    ) USING found.ids, first_bucket - step, first_bucket, end_bucket, step;
END
$$;
COMMENT ON FUNCTION rate IS
    'Increase of a counter, and increase per second, in buckets of a step; a restart is not a decrease.';

-- Uptime. Whole hours come from the aggregate; the partial hours at both ends come from the checks.
CREATE OR REPLACE FUNCTION uptime(component text, start timestamptz, "end" timestamptz)
RETURNS SETOF uptime_row
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH edge AS (
        SELECT least(uptime."end", time_bucket(interval '1 hour', uptime.start + interval '1 hour'
               - interval '1 microsecond')) AS first_hour,
               greatest(uptime.start, time_bucket(interval '1 hour', uptime."end")) AS last_hour
    ), part AS (
        SELECT coalesce(h.healthy_s, 0) + coalesce(h.warning_s, 0) + coalesce(h.critical_s, 0) AS up_s,
               coalesce(h.down_s, 0) AS down_s
        FROM component_uptime_1h h, edge
        WHERE h.component = uptime.component AND h.bucket >= edge.first_hour AND h.bucket < edge.last_hour
        UNION ALL
        SELECT CASE WHEN c.status <> 'down' THEN c.stands_for_s ELSE 0 END,
               CASE WHEN c.status = 'down' THEN c.stands_for_s ELSE 0 END
        FROM component_checks c, edge
        WHERE c.component = uptime.component AND c.time >= uptime.start AND c.time < uptime."end"
          AND (c.time < edge.first_hour OR c.time >= edge.last_hour)
    ), total AS (
        SELECT coalesce(sum(part.up_s), 0) AS up_s, coalesce(sum(part.down_s), 0) AS down_s FROM part
    )
    SELECT total.up_s, total.down_s,
           CASE WHEN total.up_s + total.down_s > 0
                THEN 100 * total.up_s / (total.up_s + total.down_s) END
    FROM total
$$;
COMMENT ON FUNCTION uptime IS
    'Seconds up and down of a component, and its availability in percent of the observed time.';

-- The value of a percentile from its rank, and from the buckets of the values directly below and above it.
CREATE OR REPLACE FUNCTION log_quantile(p_rank double precision, p_below integer, p_above integer)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT log_bucket_value(p_below)
           + (p_rank - floor(p_rank)) * (log_bucket_value(p_above) - log_bucket_value(p_below))
$$;
COMMENT ON FUNCTION log_quantile IS
    'Value at a rank (from 0, may be fractional), given the buckets below and above it.';

-- Percentiles of distributions come from the bucket counts, within 1 %. All others are exact, from the samples.
CREATE OR REPLACE FUNCTION percentiles(
    metric text, start timestamptz, "end" timestamptz, step interval,
    quantiles double precision[] DEFAULT '{0.5,0.9,0.95,0.99}', component text DEFAULT NULL, labels jsonb DEFAULT '{}'
) RETURNS SETOF percentile_row
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_bucket timestamptz := time_bucket(step, start, timestamptz 'epoch');
    end_bucket   timestamptz := time_bucket(step, "end" - interval '1 microsecond', timestamptz 'epoch') + step;
    found        record := find_series(metric, component, labels, 'distribution');
    tier         tiers := tier_for('system_distributions', first_bucket, step);
BEGIN
    RETURN QUERY EXECUTE format(
        CASE WHEN found.is_all THEN
            'WITH added AS (
                 SELECT r.series_id, time_bucket($4, r.%2$I, timestamptz ''epoch'') AS time, r.log_bucket,
                        sum(r.count)::double precision AS count
                 FROM %1$I r
                 WHERE r.series_id = ANY ($1) AND r.%2$I >= $2 AND r.%2$I < $3
                 GROUP BY 1, 2, 3
             ), ranked AS (
                 SELECT a.series_id, a.time, a.log_bucket,
                        sum(a.count) OVER (bucket ORDER BY a.log_bucket) AS up_to,
                        sum(a.count) OVER bucket - 1 AS last_rank
                 FROM added a
                 WINDOW bucket AS (PARTITION BY a.series_id, a.time)
             ), answer AS (
                 SELECT r.series_id, r.time, given.quantile,
                        log_quantile(given.quantile * r.last_rank,
                                     min(r.log_bucket) FILTER (WHERE r.up_to > floor(given.quantile * r.last_rank)),
                                     min(r.log_bucket)
                                         FILTER (WHERE r.up_to > ceil(given.quantile * r.last_rank))) AS value
                 FROM ranked r
                 CROSS JOIN unnest($5) AS given (quantile)
                 GROUP BY r.series_id, r.time, given.quantile, r.last_rank
             )'
        ELSE
            'WITH answer AS (
                 SELECT series_id, time, given.quantile, given.value
                 FROM (SELECT r.series_id, time_bucket($4, r.time, timestamptz ''epoch'') AS time,
                              percentile_cont($5) WITHIN GROUP (ORDER BY r.value) AS values
                       FROM system_metrics r
                       WHERE r.series_id = ANY ($1) AND r.time >= $2 AND r.time < $3
                       GROUP BY 1, 2) b
                 CROSS JOIN unnest($5, b.values) AS given (quantile, value)
             )'
        END ||
        'SELECT a.time, s.component, s.labels, a.quantile, a.value
         FROM answer a
         JOIN series s ON s.id = a.series_id
         ORDER BY s.component, s.labels, a.time, a.quantile',
        tier.relation,
        CASE WHEN tier.source IS NULL THEN 'time' ELSE 'bucket' END
    ) USING found.ids, first_bucket, end_bucket, step, quantiles;
END
$$;
COMMENT ON FUNCTION percentiles IS
    'Percentiles of a metric in buckets of a step: of distributions within 1 percent, for as long as a roll-up is kept.';

-- The percentile of any rows of distributions. It takes arrays, because an SQL-level aggregate would copy its state
-- for every row; array_agg does not.
CREATE OR REPLACE FUNCTION percentile(quantile double precision, log_buckets integer[], counts bigint[])
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    WITH ranked AS (
        SELECT given.log_bucket,
               sum(sum(given.count)::double precision) OVER (ORDER BY given.log_bucket) AS up_to,
               percentile.quantile * (sum(sum(given.count)::double precision) OVER () - 1) AS rank
        FROM unnest(percentile.log_buckets, percentile.counts) AS given (log_bucket, count)
        GROUP BY given.log_bucket
    )
    SELECT log_quantile(rank, min(log_bucket) FILTER (WHERE up_to > floor(rank)),
                        min(log_bucket) FILTER (WHERE up_to > ceil(rank)))
    FROM ranked
    GROUP BY rank
$$;
COMMENT ON FUNCTION percentile IS
    'Percentile of rows of distributions, within 1 percent: percentile(0.95, array_agg(log_bucket), array_agg(count)).';

REVOKE EXECUTE ON FUNCTION history, rate, percentiles, uptime FROM PUBLIC;
