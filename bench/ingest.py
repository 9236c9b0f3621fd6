"""Sends the same samples in every format through HTTP, beside bare COPY and bare INSERT.

`python -m bench.ingest [--flat 20000000]`: the real service takes in requests of 10,000 samples, on
a native server (VIGIA_TEST_DATABASE_URL) and on the embedded engine; beside it, one bare connection
writes the same into hypertables like its own. Everyone has a turn in each round, with fresh times
and requests made before the clock runs. Afterwards every acknowledged sample must be there once.
`--flat` then sends so many samples more, and watches the service's memory.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
from msgspec import Struct

from bench import rates, senders
from bench.bodies import STEP_S, Batch, Shape, batches
from bench.command import execute
from bench.loading import empty
from bench.processes import serving, vigia
from bench.rates import Flat, Rates
from bench.senders import IN_FLIGHT, Again, Copied, Inserted, Posted, Sender
from db.engine import open_engine
from db.queries import Connection
from vigia.settings import Settings

FEW, MANY = Shape(100, 100), Shape(1_000, 10)
WARM_UPS, ROUNDS = 1, 6
REQUESTS = 6
"""Of one turn."""
LOOK_S = 0.5
HOUR_S = 3600
START_S = 48 * HOUR_S
"""So long ago are the first samples; those of all rounds are younger than what is compressed."""
SETTLE_S = 5.0
POLL_S = 0.2
CHECKPOINT_SAMPLES = 1_000_000
MB = 1e6


class Contest(Struct, frozen=True):
    """The service on an engine, and a connection to the same database."""

    engine: str
    http: aiohttp.ClientSession
    sql: Connection

    @property
    def is_embedded(self) -> bool:
        return self.engine == "embedded"

    def senders(self) -> list[Sender]:
        """Return everyone who has a turn."""
        found: list[Sender] = []
        for shape in (FEW, MANY):
            if not self.is_embedded:
                # The embedded engine does not survive a COPY.
                found.append(Copied(shape, self.sql))
            found.append(Inserted(shape, self.sql))
            found += [Posted(way, shape, self.http) for way in senders.WAYS]
        # One key may bring 5,000 new series a minute, and these are 4,500.
        return [*found, Again(FEW, self.http)]

    async def measure(self) -> Rates:
        """Time every sender in each round, in a new order each time; then look for the samples."""
        everyone = self.senders()
        taken: dict[tuple[str, Shape], list[float]] = {(s.name, s.shape): [] for s in everyone}
        start_s = int(time.time()) - START_S
        streams = {shape: batches(shape, start_s) for shape in (FEW, MANY)}
        others, order, turns = [], list(everyone), random.Random(0)
        for number in range(WARM_UPS + ROUNDS):
            some = {s: [next(stream) for _ in range(REQUESTS)] for s, stream in streams.items()}
            turns.shuffle(order)
            for sender in order:
                rate = await _rate(sender, some[sender.shape])
                if number >= WARM_UPS:
                    taken[sender.name, sender.shape].append(rate)
            others.append(await asyncio.to_thread(psutil.cpu_percent, LOOK_S))
        for sender in everyone:
            await sender.audit(self.sql)
        return Rates(self.engine, taken, others)

    async def watch(self, count: int) -> Flat:
        """Send samples, and look at the memory of the service meanwhile."""
        [service] = psutil.Process().children()
        before = service.memory_info().rss
        sender = Posted(senders.FLAT, MANY, self.http)
        seen: list[tuple[int, int]] = []
        watching = asyncio.create_task(_look(service, sender, seen))
        began = time.monotonic()
        start_s = int(time.time()) - HOUR_S - count // MANY.series * STEP_S
        try:
            await self._send(sender, batches(MANY, start_s), count)
        finally:
            watching.cancel()
        seconds = time.monotonic() - began
        seen.append((sender.ledger.samples, service.memory_info().rss))
        await asyncio.sleep(SETTLE_S)
        await sender.audit(self.sql)
        warm = max(rss for samples, rss in seen if samples <= count / 10)
        most = max(rss for samples, rss in seen if samples > count / 10)
        sizes = [size / MB for size in (before, warm, most, service.memory_info().rss)]
        return Flat(self.engine, sender.ledger.samples, seconds, *sizes)

    async def _send(self, sender: Posted, stream: Iterator[Batch], count: int) -> None:
        """Send parts, each followed by the checkpoint that the embedded engine does not make."""
        while sender.ledger.samples < count:
            part = min(CHECKPOINT_SAMPLES, count - sender.ledger.samples)
            some = (next(stream) for _ in range(-(-part // MANY.samples)))
            await sender.post_all(
                ((batch, sender.encode(batch)) for batch in some), told="accepted"
            )
            if self.is_embedded:
                await self.sql.execute(senders.CHECKPOINT)


async def _rate(sender: Sender, some: Sequence[Batch]) -> float:
    """Return samples a second; in a thread, so that a connection that ends meanwhile is seen."""
    turn = await asyncio.to_thread(sender.prepare, some)
    began = time.perf_counter()
    await turn()
    return sum(batch.shape.samples for batch in some) / (time.perf_counter() - began)


async def _look(service: psutil.Process, sender: Posted, seen: list[tuple[int, int]]) -> None:
    """Note until cancelled how much memory is taken after how many samples."""
    while True:
        seen.append((sender.ledger.samples, service.memory_info().rss))
        await asyncio.sleep(POLL_S)


@asynccontextmanager
async def native(url: str) -> AsyncIterator[Contest]:
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as name:
        folder = Path(name)
        async with (
            empty(url, "ingest") as dsn,
            serving(vigia(dsn, folder), folder / "vigia.log", IN_FLIGHT) as http,
            _connection(dsn, 0) as sql,
        ):
            yield Contest("native", http, sql)


@asynccontextmanager
async def embedded() -> AsyncIterator[Contest]:
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as name:
        folder = Path(name)
        async with (
            serving(vigia(None, folder), folder / "vigia.log", IN_FLIGHT) as http,
            open_engine(Settings(data_dir=folder), share=True) as engine,
            _connection(engine.dsn, None) as sql,
        ):
            yield Contest("embedded", http, sql)


@asynccontextmanager
async def _connection(dsn: str, prepare: int | None) -> AsyncIterator[Connection]:
    async with await Connection.connect(dsn, autocommit=True, prepare_threshold=prepare) as sql:
        await sql.execute(senders.TABLES, prepare=False)
        yield sql


async def main(flat: int) -> None:
    began = time.monotonic()
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    found, flats = [], []
    for contest in ([native(url)] if url else []) + [embedded()]:
        async with contest as running:
            found.append(await running.measure())
            rates.report(found[-1])
            if flat:
                flats.append(await running.watch(flat))
    rates.report_flat(flats)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "ingest", **rates.summary(found, flats), "seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast samples are taken in.")
    parser.add_argument("--flat", type=int, default=0, metavar="SAMPLES", help="watch the memory")
    execute(main(parser.parse_args().flat))
