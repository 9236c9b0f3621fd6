"""Measures the machine with psutil: processors, memory, disks and network."""

import sys
import time as clock
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from collectors.host.disks import Disks, mounts
from collectors.host.thread import OneThread
from collectors.metrics import Reading, samples_of
from model.series import Category, Sample, labels_of

CORES_MAX = 256
DEVICES_MAX = 32
INTERFACES_MAX = 32

SKIPPED_DEVICES = ("fd", "loop", "ram", "sr", "zram")
"""Prefixes of devices that are no disks: files, memory, empty drives."""
SKIPPED_INTERFACES = ("cali", "lxc", "tap", "veth", "vnet")
"""Prefixes of interfaces that come and go with containers. The bridge counts the same traffic."""
LOOPBACKS = ("lo", "lo0")

LINUX = sys.platform == "linux"
BLOCK_DEVICES = Path("/sys/block")
OPEN_FILES = Path("/proc/sys/fs/file-nr")
TCP_COUNTERS = Path("/proc/net/snmp")


class Server:
    """Component `server`: the machine or the container in which Vigia runs."""

    name = "server"
    category = Category.SYSTEM

    def __init__(self) -> None:
        self._thread = OneThread("collect server")
        self._disks = Disks()
        self._cores = psutil.cpu_times(percpu=True)

    async def collect(self, time: datetime) -> list[Sample]:
        readings, paths = await self._thread.run(self._read)
        readings += await self._disks.read(paths)
        return samples_of(readings, self.name, self.category, time)

    def _read(self) -> tuple[list[Reading], list[str]]:
        readings = [*self._processors(), *_memory(), *_load_and_uptime()]
        for extra in EXTRAS:
            readings += _allowed(extra)
        return readings, mounts()

    def _processors(self) -> Iterator[Reading]:
        """Yield the busy percentage of all cores and of each core, since the last run.

        Yield nothing when the number of cores changed, or when no time has passed.
        """
        before, self._cores = self._cores, psutil.cpu_times(percpu=True)
        if len(before) != len(self._cores):
            return
        spent = [_spent(old, new) for old, new in zip(before, self._cores, strict=True)]
        yield from _busy_percent("server_cpu_percent", *map(sum, zip(*spent, strict=True)))
        for core, (busy, total) in enumerate(spent[:CORES_MAX]):
            yield from _busy_percent("server_cpu_core_percent", busy, total, core=str(core))


def _spent(before: Any, after: Any) -> tuple[float, float]:
    """Return the busy seconds and the total seconds of a core between two readings."""
    passed = {
        field: new - old for field, old, new in zip(after._fields, before, after, strict=True)
    }
    # The kernel counts guest time a second time as user time.
    total = sum(passed.values()) - passed.get("guest", 0.0) - passed.get("guest_nice", 0.0)
    return total - passed["idle"] - passed.get("iowait", 0.0), total


def _busy_percent(metric: str, busy: float, total: float, **labels: str) -> Iterator[Reading]:
    if total > 0:
        # The iowait counter of a core can decrease a little, so that the result leaves 0 to 100.
        yield Reading(metric, min(max(100.0 * busy / total, 0.0), 100.0), labels_of(labels))


def _memory() -> Iterator[Reading]:
    memory = psutil.virtual_memory()
    # Not psutil's `used`, which does not fit to `percent`: used, total and percent must agree.
    used = memory.total - memory.available
    yield Reading("server_memory_total_bytes", memory.total)
    yield Reading("server_memory_used_bytes", used)
    yield Reading("server_memory_percent", 100.0 * used / memory.total)


def _load_and_uptime() -> Iterator[Reading]:
    load1, load5, load15 = psutil.getloadavg()
    yield Reading("server_load1", load1)
    yield Reading("server_load5", load5)
    yield Reading("server_load15", load15)
    yield Reading("server_uptime_seconds", clock.time() - psutil.boot_time())


def _swap() -> Iterator[Reading]:
    swap = psutil.swap_memory()
    yield Reading("server_swap_total_bytes", swap.total)
    yield Reading("server_swap_used_bytes", swap.used)
    yield Reading("server_swap_percent", 100.0 * swap.used / swap.total if swap.total else 0.0)


def _processes() -> Iterator[Reading]:
    yield Reading("server_processes", len(psutil.pids()))


def _open_files() -> Iterator[Reading]:
    yield Reading("server_open_files", int(OPEN_FILES.read_text().split()[0]))


def _connections() -> Iterator[Reading]:
    """Yield the number of established TCP connections.

    On Linux it reads the kernel's counter, in 0.05 ms for any number. Listing the connections takes
    2.5 ms for each thousand. The counter includes connections that only the other end has closed.
    """
    if LINUX:
        names, values = (
            line.split() for line in TCP_COUNTERS.read_text().splitlines() if line[:4] == "Tcp:"
        )
        count = int(values[names.index("CurrEstab")])
    else:
        listed = psutil.net_connections("tcp")
        count = sum(connection.status == psutil.CONN_ESTABLISHED for connection in listed)
    yield Reading("server_connections_active", count)


def _block_devices() -> Iterator[Reading]:
    counters = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
    # Linux lists partitions as well. Their traffic is already counted for the whole disk.
    whole = {path.name for path in BLOCK_DEVICES.iterdir()} if LINUX else set(counters)
    names = [name for name in counters if name in whole and not name.startswith(SKIPPED_DEVICES)]
    for name in names[:DEVICES_MAX]:
        labels = labels_of({"device": name})
        yield Reading("server_disk_read_bytes_total", counters[name].read_bytes, labels)
        yield Reading("server_disk_written_bytes_total", counters[name].write_bytes, labels)


def _network() -> Iterator[Reading]:
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    names = [
        name
        for name in counters
        if name not in LOOPBACKS and not name.startswith(SKIPPED_INTERFACES)
    ]
    for name in names[:INTERFACES_MAX]:
        io, labels = counters[name], labels_of({"interface": name})
        yield Reading("server_network_received_bytes_total", io.bytes_recv, labels)
        yield Reading("server_network_sent_bytes_total", io.bytes_sent, labels)
        yield Reading("server_network_errors_total", io.errin + io.errout, labels)
        yield Reading("server_network_dropped_total", io.dropin + io.dropout, labels)


def _allowed(read: Callable[[], Iterator[Reading]]) -> Sequence[Reading]:
    """Return readings that a system may hide or not have. Return none in that case."""
    try:
        return list(read())
    except (OSError, psutil.Error, NotImplementedError):
        return []


EXTRAS = (_swap, _processes, _open_files, _connections, _block_devices, _network)
