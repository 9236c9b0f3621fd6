"""Measures the CPU seconds of a service and of its database.

Wall-clock time hides the work of other cores, and CPU seconds do not. The kernel counts them in
nanoseconds for each process. The database server must run on this machine.
"""

import time
from typing import Any

import psutil
import psycopg
from msgspec import Struct

from bench import named

_QUERIES = named.load(__file__)
BACKENDS = _QUERIES["backends"]
OWN = "bench"
"""The `application_name` of the benchmark's own connections. Their work is not counted."""


class Used(Struct, frozen=True):
    """CPU seconds of the service, and of the database on its behalf."""

    service_s: float
    database_s: float

    @property
    def total_s(self) -> float:
        return self.service_s + self.database_s

    def __sub__(self, other: "Used") -> "Used":
        return Used(self.service_s - other.service_s, self.database_s - other.database_s)


def process_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, including ended threads."""
    # The clock id of a process: the complement of its pid, shifted by 3, and 2 for CPUCLOCK_SCHED.
    return time.clock_gettime((~pid << 3) | 2)


class Meter:
    """Reads the CPU use of a service and its database.

    With a connection, the database is a server. Then each backend in the same database counts,
    except those of the benchmark. Otherwise it is the embedded engine that the service started.
    """

    def __init__(self, pid: int, sql: psycopg.AsyncConnection[Any] | None = None) -> None:
        self._service = psutil.Process(pid)
        self._sql = sql
        self._seen: dict[int, float] = {}

    @property
    def has_children(self) -> bool:
        """Whether the service has started a process that still runs."""
        return bool(self._service.children())

    async def read(self) -> Used:
        for pid in await self._database_pids():
            try:
                self._seen[pid] = process_s(pid)
            except OSError:
                # The process has ended since it was listed. Its earlier use still counts.
                continue
        return Used(process_s(self._service.pid), sum(self._seen.values()))

    async def _database_pids(self) -> list[int]:
        if self._sql is None:
            return [child.pid for child in self._service.children(recursive=True)]
        cursor = await self._sql.execute(BACKENDS, {"own": OWN})
        return [pid for (pid,) in await cursor.fetchall()]
