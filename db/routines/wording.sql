-- The words of alerts. Numbers and names read as in messages; tests hold them equal.

-- Display names of our metrics, from model/metrics.py. The name of another metric is shown without its unit.
CREATE OR REPLACE FUNCTION metric_title(metric text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce('{
        "server_cpu_percent": "CPU", "server_cpu_core_percent": "CPU core", "server_load1": "Load 1 min",
        "server_load5": "Load 5 min", "server_load15": "Load 15 min", "server_memory_percent": "Memory",
        "server_memory_used_bytes": "Memory used", "server_memory_total_bytes": "Memory total",
        "server_swap_percent": "Swap", "server_swap_used_bytes": "Swap used",
        "server_swap_total_bytes": "Swap total", "server_disk_percent": "Disk",
        "server_disk_used_bytes": "Disk used", "server_disk_total_bytes": "Disk total",
        "server_disk_up": "Disk up", "server_disk_read_bytes_total": "Disk read",
        "server_disk_written_bytes_total": "Disk written",
        "server_network_received_bytes_total": "Network received",
        "server_network_sent_bytes_total": "Network sent", "server_network_errors_total": "Network errors",
        "server_network_dropped_total": "Network dropped", "server_connections_active": "Connections active",
        "server_processes": "Processes", "server_open_files": "Open files", "server_uptime_seconds": "Uptime",
        "service_canary": "Service canary", "service_loop_lag_ms": "Lag of the service",
        "service_spool_quarantined_records": "Quarantined records", "agent_spool_bytes": "Agent spool",
        "agent_samples_sent_total": "Agent samples sent", "agent_samples_rejected_total": "Agent samples rejected",
        "agent_samples_dropped_total": "Agent samples dropped",
        "agent_segments_quarantined_total": "Agent segments quarantined",
        "agent_send_failures_total": "Agent send failures", "database_latency_ms": "Database latency",
        "database_pool_size": "Pool size", "database_pool_available": "Pool available",
        "database_pool_waiting": "Pool waiting", "database_size_bytes": "Database size",
        "database_connections": "Connections", "database_oldest_transaction_seconds": "Oldest transaction",
        "database_blocks_hit_total": "Blocks hit", "database_blocks_read_total": "Blocks read",
        "database_cache_hit_percent": "Cache hit", "database_commits_total": "Commits",
        "database_rollbacks_total": "Rollbacks", "database_deadlocks_total": "Deadlocks",
        "database_jobs_failed": "Jobs failed", "external_latency_ms": "Latency", "external_phase_ms": "Phase",
        "external_status_code": "Status code", "external_certificate_days": "Certificate validity",
        "ngrok_tunnels": "Tunnels", "ngrok_tunnel_up": "Tunnel up", "scrape_duration_ms": "Scrape duration",
        "scrape_samples": "Scrape samples", "scrape_samples_skipped": "Scrape samples skipped",
        "trading_positions_active": "Positions active", "trading_users_active": "Users active",
        "trading_trades_24h": "Trades 24h", "trading_volume_24h": "Volume 24h", "trading_pnl_24h": "PnL of 24 h",
        "trading_success_percent": "Success rate", "trading_symbol_volume_24h": "Symbol volume 24h",
        "trading_symbol_pnl_24h": "Symbol PnL 24h", "trading_simulated": "Simulated",
        "component_up": "Availability", "security_events": "Security events",
        "host_silent_seconds": "Silence", "sql_rule_rows": "SQL rule rows"
    }'::jsonb ->> metric, upper(left(words, 1)) || substr(words, 2))
    FROM (
        SELECT replace(regexp_replace(metric, '_(percent|ms|seconds|bytes|days)$', ''), '_', ' ') AS words
    ) AS plain
$$;
COMMENT ON FUNCTION metric_title IS 'Display name of a metric.';

-- A number with an exponent: 1.23e+12.
CREATE OR REPLACE FUNCTION exponent_text(value double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(ltrim(to_char(value, '9.99EEEE')), 'e([+-])0+', 'e\1')
$$;
COMMENT ON FUNCTION exponent_text IS 'A number with an exponent: 1.23e+12.';

-- A number with at most so many decimals and a comma between thousands.
CREATE OR REPLACE FUNCTION number_text(value double precision, decimals integer)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN abs(value) < 1e15
                THEN rtrim(to_char(round(value::numeric, decimals), 'FM999,999,999,999,990.999999'), '.')
                ELSE exponent_text(value) END
$$;
COMMENT ON FUNCTION number_text IS 'A number with at most so many decimals.';

-- A number with three digits, fewer where they are zeros.
CREATE OR REPLACE FUNCTION digits_text(value double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT number_text(value, CASE WHEN abs(value) < 1 THEN 3 WHEN abs(value) < 10 THEN 2
                                   WHEN abs(value) < 100 THEN 1 ELSE 0 END)
$$;
COMMENT ON FUNCTION digits_text IS 'A number with three digits.';

-- The two largest parts of a duration: 1 h 5 min.
CREATE OR REPLACE FUNCTION seconds_text(seconds double precision)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN size >= 1e15 THEN number_text(seconds, 0) || ' s'
                WHEN size < 60 THEN sign || CASE WHEN size > 0 AND size < 1 THEN digits_text(size)
                                                 ELSE number_text(size, 0) END || ' s'
                WHEN size < 3600 THEN sign || div(size::numeric, 60) || ' min'
                    || coalesce(' ' || nullif(floor(mod(size::numeric, 60)), 0) || ' s', '')
                WHEN size < 86400 THEN sign || div(size::numeric, 3600) || ' h'
                    || coalesce(' ' || nullif(div(mod(size::numeric, 3600), 60), 0) || ' min', '')
                ELSE sign || div(size::numeric, 86400) || ' d'
                    || coalesce(' ' || nullif(div(mod(size::numeric, 86400), 3600), 0) || ' h', '') END
    FROM (SELECT abs(seconds) AS size, CASE WHEN seconds < 0 THEN '-' ELSE '' END AS sign) AS parts
$$;
COMMENT ON FUNCTION seconds_text IS 'A duration in its two largest parts: 1 h 5 min.';

CREATE OR REPLACE FUNCTION bytes_text(bytes double precision) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN power = 0 THEN number_text(bytes, 0) ELSE digits_text(bytes / 1024 ^ power) END
           || ' ' || (ARRAY['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'])[power + 1]
    FROM (
        SELECT least(floor(ln(greatest(abs(bytes), 1)) / ln(1024::double precision) + 1e-12), 5)::integer AS power
    ) AS scaled
$$;
COMMENT ON FUNCTION bytes_text IS 'A number of bytes in the largest unit: 1.5 GiB.';

CREATE OR REPLACE FUNCTION value_text(value double precision, unit text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE unit
        WHEN 'percent' THEN number_text(value, CASE WHEN abs(value) < 10 THEN 2 ELSE 1 END) || ' %'
        WHEN 'bytes' THEN bytes_text(value)
        WHEN 'ms' THEN CASE WHEN abs(value) < 1000 THEN digits_text(value) || ' ms'
                            ELSE digits_text(value / 1000) || ' s' END
        WHEN 'seconds' THEN seconds_text(value)
        WHEN 'days' THEN plain || CASE WHEN value = 1 THEN ' day' ELSE ' days' END
        ELSE concat_ws(' ', plain, nullif(unit, '')) END
    FROM (
        SELECT CASE WHEN abs(value) >= 1e12 OR (abs(value) < 1e-4 AND value <> 0)
                    THEN exponent_text(value)
                    WHEN abs(value) >= 1000 OR value = trunc(value) THEN number_text(value, 0)
                    ELSE digits_text(value) END AS plain
    ) AS numbers
$$;
COMMENT ON FUNCTION value_text IS 'A value with its unit, short: 97.7 %.';

-- The text about a breached limit. A value that reads as its limit but differs from it gets more decimals.
CREATE OR REPLACE FUNCTION breach_message(subject text, value double precision, unit text, op text,
    threshold double precision)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT subject || ' '
           || CASE WHEN value IS NULL THEN 'no value'
                   WHEN value_text(value, unit) = value_text(threshold, unit) AND value <> threshold
                   THEN concat_ws(' ', number_text(value, 6), replace(nullif(unit, ''), 'percent', '%'))
                   ELSE value_text(value, unit) END
           || CASE WHEN threshold IS NULL THEN ''
                   ELSE CASE WHEN op IN ('>', '>=') THEN ' (limit ' ELSE ' (lower limit ' END
                        || value_text(threshold, unit) || ')' END
$$;
COMMENT ON FUNCTION breach_message IS 'The text about a breached limit: subject 97.7 % (limit 80 %).';

CREATE OR REPLACE FUNCTION aggregate_text(agg text, window_s integer)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE agg
        WHEN 'avg' THEN 'average of ' WHEN 'min' THEN 'minimum of ' WHEN 'max' THEN 'maximum of '
        WHEN 'sum' THEN 'sum of ' WHEN 'count' THEN 'samples in ' WHEN 'first' THEN 'first of '
        WHEN 'last' THEN 'last of ' WHEN 'stddev' THEN 'standard deviation in ' WHEN 'rate' THEN 'rate over '
        WHEN 'p50' THEN 'median of ' ELSE substr(agg, 2) || 'th percentile of ' END || seconds_text(window_s)
$$;
COMMENT ON FUNCTION aggregate_text IS 'An aggregate and its window: average of 1 min.';

-- Labels in brackets behind a name. The host stands in the title of the alert.
CREATE OR REPLACE FUNCTION labels_in_brackets(labels jsonb)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(' (' || string_agg(key || ' ' || value, ', ' ORDER BY key) || ')', '')
    FROM jsonb_each_text(labels - 'host')
$$;
COMMENT ON FUNCTION labels_in_brackets IS 'Labels behind a name, without the host: (mount /data).';

-- The subject of an alert's title: a component and its host. Of the component `server` the host alone.
CREATE OR REPLACE FUNCTION subject_of(component text, labels jsonb)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN coalesce(labels ->> 'host', '') = '' THEN component
                WHEN component IN ('', 'server') THEN labels ->> 'host'
                ELSE component || ' on ' || (labels ->> 'host') END
$$;
COMMENT ON FUNCTION subject_of IS 'What the title of an alert begins with: the component and its host.';
