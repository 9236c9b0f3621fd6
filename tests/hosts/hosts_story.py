"""Hosts that send at times that a test chooses, to a watch that a test runs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from db.queries import Pool
from hosts import store
from hosts.store import Host
from hosts.watch import HostWatch
from model.series import Column, Labels, Sample, Series
from model.times import micros_of
from samples.write_batch import WriteBatch

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOT_S = 15


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def series_of(host: str, component: str = "server") -> Series:
    labels: Labels = (("host", host),) if host else ()
    return Series(metric="load", component=component, labels=labels)


class HostsStory:
    """Time that passes in slots, in each of which seen hosts are written, and all are judged."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.now_s = 0.0
        self.put: list[Sample] = []
        self.watch = self.new_watch()

    def new_watch(self) -> HostWatch:
        """Return the watch of a process that starts now."""
        return HostWatch(pool=self.pool, put=self.put.extend, started=at(self.now_s))

    async def send(self, *hosts: str, component: str = "server", late_s: float = 0.0) -> None:
        """Have hosts send one sample each, dated `late_s` seconds back."""
        times = np.array([micros_of(at(self.now_s - late_s))], np.int64)
        columns = [Column(series_of(one, component), times, np.zeros(1)) for one in hosts]
        await self.watch.note(WriteBatch(columns), WriteBatch(), at(self.now_s), {"database"})

    async def judge(self) -> None:
        await self.watch.write(at(self.now_s))
        await self.watch.judge(at(self.now_s))

    async def pass_slots(self, count: int, *senders: str) -> None:
        """Let slots pass, in each of which some hosts send."""
        for _ in range(count):
            self.now_s += SLOT_S
            await self.send(*senders)
            await self.judge()

    async def hosts(self) -> list[Host]:
        async with self.pool.connection() as connection:
            return await store.read(connection, 100)

    async def silent(self) -> dict[str, float]:
        """Return the silent hosts, and when each was last seen, in seconds."""
        return {
            host.name: (host.silent_since - START).total_seconds()
            for host in await self.hosts()
            if host.silent_since is not None
        }

    def newest(self) -> Sequence[tuple[str, float]]:
        """Return host and value of the samples of the newest slot."""
        return [
            (dict(one.series.labels).get("host", one.series.component), one.value)
            for one in self.put
            if one.time == at(self.now_s)
        ]
