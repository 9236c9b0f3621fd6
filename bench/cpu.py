"""CPU seconds of a service under measurement: its own, and those of its database.

Wall-clock time hides work that other cores do meanwhile; CPU seconds do not. The kernel counts them
in nanoseconds for each process. The database server must run on this machine.
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
"""The `application_name` of our own connections, whose work is not the service's."""


class Used(Struct, frozen=True):
    """CPU seconds of the service, and of the database that works for it."""

    service_s: float
    database_s: float

    @property
    def total_s(self) -> float:
        return self.service_s + self.database_s

    def __sub__(self, other: "Used") -> "Used":
        return Used(self.service_s - other.service_s, self.database_s - other.database_s)


def process_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, ended threads included."""
    # A process's CPU clock has the complement of its number in front, and its scheduler's kind, 2.
    return time.clock_gettime((~pid << 3) | 2)


class Meter:
    """Reads what a service and its database used so far.

    With a connection, the database is a server, and each of its backends counts that works in the
    same database for anyone but us. Otherwise it is what the service started: the embedded engine.
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
                # It has ended since it was listed; what it had used before still counts.
                continue
        return Used(process_s(self._service.pid), sum(self._seen.values()))

    async def _database_pids(self) -> list[int]:
        if self._sql is None:
            return [child.pid for child in self._service.children(recursive=True)]
        cursor = await self._sql.execute(BACKENDS, {"own": OWN})
        return [pid for (pid,) in await cursor.fetchall()]
