"""The competitors of the ingest benchmark: the service, a bare connection, and peers."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
from msgspec import Struct

from bench.bodies import Batch, Shape, batches
from bench.cpu import OWN, Meter, process_s
from bench.ingest import senders
from bench.ingest.report import EMBEDDED, NATIVE, Rates, Taken
from bench.ingest.senders import (
    IN_FLIGHT,
    Again,
    Copied,
    CpuCounter,
    Inserted,
    Posted,
    Sender,
    ToPeer,
)
from bench.loading import empty
from bench.peers import installed
from bench.processes import Running, running, vigia
from db.engine import open_engine
from db.queries import Connection
from runtime.settings import Settings

FEW, MANY, SMALL = Shape(100, 100), Shape(1_000, 10), Shape(10, 1)
SHAPES = {FEW: 6, MANY: 6, SMALL: 200}
"""Seconds, for the requests of one run."""
WARM_UPS = 1
LOOK_S = 0.5
START_S = 48 * 3600
"""The age of the first samples. Those of all rounds are newer than compressed chunks."""
MB = 1e6


class IngestCompetitors(Struct, frozen=True):
    """The service on an engine, a connection to the same database, and the peers.

    There is one Prometheus for each shape, because it refuses samples much older than its newest.
    """

    engine: str
    service: Running
    sql: Connection
    peers: dict[tuple[str, Shape], Running]

    @property
    def is_embedded(self) -> bool:
        return self.engine == EMBEDDED

    @property
    def http(self) -> aiohttp.ClientSession:
        return self.service.http

    def senders(self) -> list[Sender]:
        """Return all senders."""
        found: list[Sender] = []
        served, bare = self.counters()
        for shape in SHAPES:
            if not self.is_embedded:
                # The embedded engine does not support COPY.
                found.append(Copied(shape, self.sql, bare))
            found.append(Inserted(shape, self.sql, bare))
            found += [Posted(way, shape, self.http, served) for way in senders.WAYS]
            for (name, of), started in self.peers.items():
                if of == shape:
                    found.append(ToPeer(name, shape, started.http, _counter(Meter(started.pid))))
        # One key may create 5,000 new series a minute, and these are 4,540.
        return [*found, Again(FEW, self.http, served)]

    def counters(self) -> tuple[CpuCounter, CpuCounter]:
        """Return the CPU counters of the service with its database, and of a bare connection.

        The second one counts this process, which does nothing else then, and its backend.
        """
        service = Meter(self.service.pid, None if self.is_embedded else self.sql)
        backend = self.sql.info.backend_pid

        async def bare() -> float:
            if self.is_embedded:
                return time.process_time() + (await service.read()).database_s
            return time.process_time() + process_s(backend)

        return _counter(service), bare

    async def measure(self, rounds: int) -> Rates:
        """Time all senders in each round, each time in a new order; then check the samples."""
        everyone = self.senders()
        taken: dict[tuple[str, Shape], list[Taken]] = {(s.name, s.shape): [] for s in everyone}
        start_s = int(time.time()) - START_S
        streams = {shape: batches(shape, start_s) for shape in SHAPES}
        others, order, turns = [], list(everyone), random.Random(0)
        for number in range(WARM_UPS + rounds):
            some = {s: [next(stream) for _ in range(SHAPES[s])] for s, stream in streams.items()}
            turns.shuffle(order)
            for sender in order:
                one = await _take(sender, some[sender.shape])
                if number >= WARM_UPS:
                    taken[sender.name, sender.shape].append(one)
            others.append(await asyncio.to_thread(psutil.cpu_percent, LOOK_S))
        for started in self.peers.values():
            # VictoriaMetrics returns only flushed samples. Prometheus does not have this path.
            async with started.http.get("/internal/force_flush"):
                pass
        for sender in everyone:
            await sender.audit(self.sql)
        return Rates(self.engine, taken, others)


def _counter(meter: Meter) -> CpuCounter:
    async def total_s() -> float:
        return (await meter.read()).total_s

    return total_s


async def _take(sender: Sender, some: Sequence[Batch]) -> Taken:
    """Run a sender once, in a thread, so that the event loop notices a closed connection."""
    prepared = await asyncio.to_thread(sender.prepare, some)
    before_s = await sender.cpu_s()
    began = time.perf_counter()
    await prepared()
    seconds = time.perf_counter() - began
    used_s = await sender.cpu_s() - before_s
    samples = sum(batch.shape.samples for batch in some)
    return Taken(samples / seconds, used_s / samples * 1_000_000)


@asynccontextmanager
async def native(url: str, *, with_peers: bool = False) -> AsyncIterator[IngestCompetitors]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vigia-bench-")))
        dsn = await stack.enter_async_context(empty(url, "ingest"))
        service = await stack.enter_async_context(_service(dsn, folder))
        sql = await stack.enter_async_context(_connection(dsn, 0))
        peers = await stack.enter_async_context(_peers(folder, is_wanted=with_peers))
        yield IngestCompetitors(NATIVE, service, sql, peers)


@asynccontextmanager
async def embedded(*, with_peers: bool = False) -> AsyncIterator[IngestCompetitors]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vigia-bench-")))
        service = await stack.enter_async_context(_service(None, folder))
        engine = await stack.enter_async_context(open_engine(Settings(data_dir=folder), share=True))
        sql = await stack.enter_async_context(_connection(engine.dsn, None))
        peers = await stack.enter_async_context(_peers(folder, is_wanted=with_peers))
        yield IngestCompetitors(EMBEDDED, service, sql, peers)


def _service(dsn: str | None, folder: Path) -> AbstractAsyncContextManager[Running]:
    return running(vigia(dsn, folder), folder / "vigia.log", IN_FLIGHT)


@asynccontextmanager
async def _peers(
    folder: Path, *, is_wanted: bool
) -> AsyncIterator[dict[tuple[str, Shape], Running]]:
    async with AsyncExitStack() as stack:
        found = {}
        for peer in installed() if is_wanted else []:
            for shape in SHAPES:
                own = folder / f"{peer.package}-{shape.series}"
                own.mkdir()
                found[peer.name, shape] = await stack.enter_async_context(peer.running(own))
        yield found


@asynccontextmanager
async def _connection(dsn: str, prepare: int | None) -> AsyncIterator[Connection]:
    async with await Connection.connect(
        dsn, autocommit=True, prepare_threshold=prepare, application_name=OWN
    ) as sql:
        await sql.execute(senders.TABLES, prepare=False)
        yield sql
