"""The metrics that Vigia itself stores: display name, unit and help of each.

The exposition, the page, alert texts and the reference of metrics in the docs take them from here.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Metric(Struct, frozen=True):
    """A metric of ours; `title` is its display name, `help` says what is measured."""

    name: str
    title: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()


def _metric(name: str, title: str, help_: str, *labels: str, unit: str | None = None) -> Metric:
    """Return a metric whose unit is the end of its name, unless it is given."""
    ends = name.removesuffix("_total").rsplit("_", 1)[-1]
    return Metric(name, title, UNITS.get(ends, "") if unit is None else unit, help_, labels)


UNITS = {name: name for name in ("percent", "ms", "seconds", "bytes", "days")}
"""Units that stand at the end of names."""

HOST = (
    _metric("server_cpu_percent", "CPU", "Busy time of all cores since the last slot."),
    _metric("server_cpu_core_percent", "CPU core", "Busy time of one core.", "core"),
    _metric("server_load1", "Load 1 min", "Load average of 1 minute."),
    _metric("server_load5", "Load 5 min", "Load average of 5 minutes."),
    _metric("server_load15", "Load 15 min", "Load average of 15 minutes."),
    _metric("server_memory_percent", "Memory", "Share of memory that programs cannot get."),
    _metric("server_memory_used_bytes", "Memory used", "Memory that programs cannot get."),
    _metric("server_memory_total_bytes", "Memory total", "All memory of the host."),
    _metric("server_swap_percent", "Swap", "Used share of the swap space."),
    _metric("server_swap_used_bytes", "Swap used", "Used swap space."),
    _metric("server_swap_total_bytes", "Swap total", "All swap space."),
    _metric("server_disk_percent", "Disk", "Used share of the space that users may fill.", "mount"),
    _metric("server_disk_used_bytes", "Disk used", "Used space of a file system.", "mount"),
    _metric("server_disk_total_bytes", "Disk total", "Size of a file system.", "mount"),
    _metric("server_disk_up", "Disk up", "0 when a file system does not answer in 2 s.", "mount"),
    _metric("server_disk_read_bytes_total", "Disk read", "Bytes read from a disk.", "device"),
    _metric("server_disk_written_bytes_total", "Disk written", "Bytes written to it.", "device"),
    _metric(
        "server_network_received_bytes_total",
        "Network received",
        "Bytes that a network interface received.",
        "interface",
    ),
    _metric("server_network_sent_bytes_total", "Network sent", "Bytes that it sent.", "interface"),
    _metric(
        "server_network_errors_total", "Network errors", "Errors of an interface.", "interface"
    ),
    _metric(
        "server_network_dropped_total", "Network dropped", "Packets that it dropped.", "interface"
    ),
    _metric("server_connections_active", "Connections active", "Established TCP connections."),
    _metric("server_processes", "Processes", "Processes of the host."),
    _metric("server_open_files", "Open files", "Open files of the host."),
    _metric("server_uptime_seconds", "Uptime", "Time since the host started."),
    _metric("service_canary", "Service canary", "The time at which the watchdog wrote it."),
    _metric("service_loop_lag_ms", "Lag of the service", "Worst delay of Vigia's event loop."),
    _metric(
        "service_spool_quarantined_records",
        "Quarantined records",
        "Records in the quarantine of the spool.",
    ),
)
AGENT = (
    _metric("agent_spool_bytes", "Agent spool", "Bytes that the agent has not sent yet."),
    _metric("agent_samples_sent_total", "Agent samples sent", "Samples that the agent sent."),
    _metric(
        "agent_samples_rejected_total", "Agent samples rejected", "Samples that were rejected."
    ),
    _metric("agent_samples_dropped_total", "Agent samples dropped", "Samples that were dropped."),
    _metric(
        "agent_segments_quarantined_total", "Agent segments quarantined", "Unreadable spool files."
    ),
    _metric("agent_send_failures_total", "Agent send failures", "Requests that failed."),
)
DATABASE = (
    _metric("database_latency_ms", "Database latency", "A round trip on a connection of the pool."),
    _metric("database_pool_size", "Pool size", "Connections of the service's pool."),
    _metric("database_pool_available", "Pool available", "Unused connections of this pool."),
    _metric("database_pool_waiting", "Pool waiting", "Requests that wait for a connection."),
    _metric("database_size_bytes", "Database size", "Size of the database, once a minute."),
    _metric(
        "database_connections",
        "Connections",
        "Clients that are active, idle, idle in transaction, or other.",
        "state",
    ),
    _metric(
        "database_oldest_transaction_seconds",
        "Oldest transaction",
        "Age of the oldest open transaction of another client.",
    ),
    _metric("database_blocks_hit_total", "Blocks hit", "Blocks found in the cache."),
    _metric("database_blocks_read_total", "Blocks read", "Blocks read from disk."),
    _metric("database_cache_hit_percent", "Cache hit", "Share of blocks found in the cache."),
    _metric("database_commits_total", "Commits", "Transactions that were committed."),
    _metric("database_rollbacks_total", "Rollbacks", "Transactions that were rolled back."),
    _metric("database_deadlocks_total", "Deadlocks", "Deadlocks that the database ended."),
    _metric("database_jobs_failed", "Jobs failed", "Jobs of TimescaleDB whose last run failed."),
)
TARGETS = (
    _metric("external_latency_ms", "Latency", "Time until the whole answer was read."),
    _metric(
        "external_phase_ms",
        "Phase",
        "Time of one part: dns, connect, tls, first_byte or transfer.",
        "phase",
    ),
    _metric("external_status_code", "Status code", "HTTP status of the answer."),
    _metric(
        "external_certificate_days",
        "Certificate validity",
        "Days left of the certificate that ends first.",
    ),
    _metric("ngrok_tunnels", "Tunnels", "Tunnels of the ngrok agent."),
    _metric("ngrok_tunnel_up", "Tunnel up", "1 while a tunnel is open.", "tunnel"),
)
SCRAPES = (
    _metric("scrape_duration_ms", "Scrape duration", "Time until everything was read."),
    _metric("scrape_samples", "Scrape samples", "Samples that were stored."),
    _metric(
        "scrape_samples_skipped",
        "Scrape samples skipped",
        "Samples without a value, that cannot be stored, or of component_up of another Vigia.",
    ),
)
TRADING = (
    _metric("trading_positions_active", "Positions active", "Positions with no closed_at."),
    _metric(
        "trading_users_active",
        "Users active",
        "Users who hold a position or traded in the last 24 hours, each once.",
    ),
    _metric("trading_trades_24h", "Trades 24h", "Trades of the last 24 hours."),
    _metric(
        "trading_volume_24h", "Volume 24h", "The sum of their quantity times price.", unit="usd"
    ),
    _metric(
        "trading_pnl_24h",
        "PnL of 24 h",
        "The sum of their pnl; 0 where nothing was realised.",
        unit="usd",
    ),
    _metric(
        "trading_success_percent",
        "Success rate",
        "Of the trades with a pnl, the share whose pnl is above 0; nothing where none has one.",
    ),
    _metric(
        "trading_symbol_volume_24h",
        "Symbol volume 24h",
        "The volume of a symbol, once a minute, of the twenty with the largest.",
        "symbol",
        unit="usd",
    ),
    _metric(
        "trading_symbol_pnl_24h", "Symbol PnL 24h", "The pnl of a symbol.", "symbol", unit="usd"
    ),
    _metric("trading_simulated", "Simulated", "1 beside values of the demo."),
)
OTHERS = (
    _metric("component_up", "Availability", "1 while a component answers, otherwise 0."),
    _metric("host_silent_seconds", "Silence", "Time since a silent host last sent.", "host"),
    _metric("security_events", "Security events", "New events of the audit.", "type", "actor"),
    _metric("sql_rule_rows", "SQL rule rows", "Rows of each result of an SQL rule.", "metric"),
)

GROUPS: Mapping[str, Sequence[Metric]] = {
    "`server`: the host": HOST,
    "The agent": AGENT,
    "`database`: Vigia's own database": DATABASE,
    "Targets": TARGETS,
    "Scrapes": SCRAPES,
    "`trading`: the trading platform": TRADING,
    "Other components": OTHERS,
}
"""The metrics by the headings under which the docs list them."""
METRICS: Mapping[str, Metric] = {
    metric.name: metric for group in GROUPS.values() for metric in group
}
