"""Vigia's own metrics as points of the exposition."""

import platform
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import psutil

from api.exposition.families import COUNTED, Point
from api.exposition.text import labels_text
from api.http.limits import Limiters
from api.ingest.admission.receivers import Receivers
from api.server.connections import ENDED, Connections
from runtime.version import __version__

POOL: Mapping[str, tuple[str, str]] = {
    "live.skipped": ("live_skipped_total", "Samples read again from the database: too many."),
    "event_loop.lag_s": ("event_loop_lag_seconds", "Present lag of the event loop."),
    "event_loop.lag_s_max": ("event_loop_lag_max_seconds", "Maximum lag in the last minute."),
    "event_loop.lag_s_p99": ("event_loop_lag_p99_seconds", "99th percentile of the lag."),
    "pool.pool_min": ("pool_min", "Minimum size of the pool."),
    "pool.pool_max": ("pool_max", "Maximum size of the pool."),
    "pool.pool_size": ("pool_size", "Connections in the pool."),
    "pool.pool_available": ("pool_available", "Idle connections in the pool."),
    "pool.requests_waiting": ("pool_requests_waiting", "Requests waiting for a connection."),
    "pool.requests_num": ("pool_requests_total", "Requests for a connection."),
    "pool.requests_queued": ("pool_requests_queued_total", "Requests that had to wait."),
    "pool.requests_wait_ms": ("pool_requests_wait_ms_total", "Time that requests waited."),
    "pool.requests_errors": ("pool_requests_errors_total", "Requests that got no connection."),
    "pool.usage_ms": ("pool_usage_ms_total", "Time that connections were in use."),
    "pool.returns_bad": ("pool_returns_bad_total", "Connections that came back broken."),
    "pool.connections_num": ("pool_connections_total", "Attempts to open a connection."),
    "pool.connections_ms": ("pool_connections_ms_total", "Time spent opening connections."),
    "pool.connections_errors": ("pool_connections_errors_total", "Failed attempts to connect."),
    "pool.connections_lost": ("pool_connections_lost_total", "Connections found to be lost."),
}
"""Metrics of each pool: the one for the service's own work, and the one for requests."""

KNOWN: Mapping[str, tuple[str, str]] = {
    "engine.embedded": ("engine_embedded", "Whether the database is the embedded one."),
    "engine.restarts": ("engine_restarts_total", "Restarts of the embedded engine."),
    "writer.stored": ("writer_stored_total", "Samples stored."),
    "writer.pending": ("writer_pending", "Samples waiting to be stored."),
    "writer.dropped": ("writer_dropped_total", "Samples that were collected and never stored."),
    "spool.bytes": ("spool_bytes", "Bytes on disk waiting for the database."),
    "spool.samples": ("spool_samples_total", "Samples written to the spool."),
    "spool.damaged_bytes": ("spool_damaged_bytes", "Unreadable bytes found on opening the spool."),
    "spool.refused": ("spool_refused_total", "Spool records that were quarantined."),
    "spool.failing": ("spool_failing", "Spool files on which disk operations fail."),
    "spool.postponed": (
        "spool_postponed",
        "Records that the database refuses without a clear reason; each is tried again.",
    ),
    "live.clients": ("live_clients", "WebSocket clients."),
    "live.lagged": ("live_lagged_total", "Times a client was too slow and got the whole state."),
    "live.dead": ("live_dead_total", "Clients that were closed because they did not read."),
    **POOL,
    **{f"requests_{place}": (f"requests_{name}", text) for place, (name, text) in POOL.items()},
    "log.lines_lost": ("log_lines_lost_total", "Lines that standard error could not take."),
    "sql_rules.lingering": (
        "sql_rules_lingering",
        "Statements of SQL rules that still run in the database after their deadline.",
    ),
    "evaluation.lag_s": (
        "evaluation_lag_seconds",
        "Time since the newest evaluated minute, by the database's clock.",
    ),
    "evaluation.clock_offset_s": (
        "clock_offset_seconds",
        "How far this machine's clock is ahead of the database's.",
    ),
    "missed_checks": ("missed_checks", "Missed health checks that are still to be made."),
    "runs": ("service_runs_total", "Runs started."),
    "missed": ("service_missed_total", "Slots without a run."),
    "failures": ("service_failures_total", "Runs that failed."),
    "delay_s": ("service_delay_seconds", "Delay of the start of the last run."),
    "delay_s_max": ("service_delay_max_seconds", "Longest delay of the start of a run."),
    "duration_s": ("service_duration_seconds", "Duration of the last run."),
    "last_slot": ("service_last_slot_timestamp_seconds", "Slot of the last run."),
}
"""Name and help of metrics, by their path in the status. Other numbers of the status become gauges
named after their path, so that nothing is left out."""


def points_of(status: Mapping[str, object]) -> Iterator[Point]:
    """Yield every number in the service's status."""
    for section, content in status.items():
        found = msgspec.to_builtins(content, builtin_types=(datetime,))
        match section:
            case "services":
                for stats in found:
                    yield from _numbers("", stats, {"service": stats["name"]})
            case "subscribers":
                for name, dropped in found.items():
                    help_ = "Events dropped because a subscriber was too slow."
                    yield own("subscriber_dropped_total", dropped, help_, {"subscriber": name})
            case _:
                yield from _numbers(section, found, {})


def of_receivers(receivers: Receivers) -> Iterator[Point]:
    """Yield the outcome of samples that clients sent."""
    for protocol, count in receivers.accepted.items():
        help_ = "Samples that are stored or spooled, including duplicates."
        yield own("ingest_accepted_total", count, help_, {"protocol": protocol})
    for what, counter in (("rejected", receivers.rejected), ("skipped", receivers.skipped)):
        for (protocol, reason), count in counter.items():
            labels = {"protocol": protocol, "reason": reason}
            yield own(f"ingest_{what}_total", count, f"Samples {what}.", labels)
    for limit, count in receivers.bodies.refused.items():
        yield own("ingest_bodies_refused_total", count, "Bodies refused.", {"limit": limit})


def of_connections(connections: Connections) -> Iterator[Point]:
    """Yield the number of client connections, and how many each limit ended."""
    yield own("connections", connections.open, "Open client connections, including WebSockets.")
    yield own("connections_max", connections.limits.connections_max, "Limit of connections.")
    for limit in ENDED:
        help_ = "Connections that a limit ended."
        yield own("connections_ended_total", connections.ended[limit], help_, {"limit": limit})


def of_limits(limiters: Limiters) -> Iterator[Point]:
    """Yield the usage of each concurrency limit."""
    for name, usage in limiters.usage():
        labels = {"limit": name}
        yield own("limit_running", usage.running, "Requests running.", labels)
        yield own("limit_waiting", usage.waiting, "Requests waiting.", labels)
        yield own("limit_waited_total", usage.waited, "Requests that had to wait.", labels)
        yield own(
            "limit_refused_total",
            usage.refused,
            "Requests refused because too many waited.",
            labels,
        )


def of_process() -> Iterator[Point]:
    """Yield the resource use and the version of this process."""
    process = psutil.Process()
    with process.oneshot():
        spent = process.cpu_times()
        yield own("cpu_seconds_total", spent.user + spent.system, "CPU time used.")
        yield own("resident_memory_bytes", process.memory_info().rss, "Memory in use.")
        yield own("start_time_seconds", process.create_time(), "When the process started.")
    version = {"version": __version__, "python": platform.python_version()}
    yield own("build_info", 1, "Version of Vigia and Python.", version)


def own(name: str, value: float, help_: str = "", labels: Mapping[str, str] | None = None) -> Point:
    """Return a point of Vigia's own; it is a counter if its name ends in `_total`."""
    written = labels_text("", msgspec.json.encode(labels or {}).decode())
    return Point(f"vigia_{name}", written, float(value), counts=name.endswith(COUNTED), help=help_)


def _numbers(place: str, content: Any, labels: Mapping[str, str]) -> Iterator[Point]:
    if isinstance(content, datetime):
        content = content.timestamp()
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _numbers(f"{place}.{key}".lstrip("."), value, labels)
    elif isinstance(content, int | float):
        name, help_ = KNOWN.get(place, (place.replace(".", "_"), ""))
        yield own(name, content, help_, labels)
