"""The one way of samples into the database: bounded, batched, and idempotent by (series, time)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
import psycopg
import structlog
from msgspec import Struct
from msgspec.structs import replace

from db import queries
from db.queries import Connection, Pool
from db.series import SeriesNumbers
from vigia.model import DomainError, Histogram, Kind, Sample, Series, time_of

log = structlog.get_logger()

_QUERIES = queries.load("writer")
INSERT = _QUERIES["insert"]
SET_REASONS = _QUERIES["set_reasons"]
INSERT_HISTOGRAMS = _QUERIES["insert_histograms"]

BUFFER_SAMPLES_MAX = 100_000
BATCH_SAMPLES_MAX = 10_000
GATHER_S = 0.1
RETRY_S = 1.0
DRAIN_TIMEOUT_S = 10.0
DIRECT_WRITES_MAX = 4
VALUE_MIN = 1e-200
"""What is closer to zero is stored as zero: PostgreSQL refuses to divide it by a count, and one
such sum would stop the evaluation of every rule."""

OnCommit = Callable[[Sequence[Sample]], None]
Resolution = Callable[[str, float | None], float | None]
"""What values of a metric are rounded to, from its name and what it declares."""


class Stored(Struct, frozen=True):
    """What became of a batch."""

    accepted: int
    duplicate: int


class Writer:
    """Buffers the collectors' samples, and stores an acknowledged batch at once.

    The buffer keeps the newest BUFFER_SAMPLES_MAX samples; what it drops is counted.
    """

    def __init__(self, pool: Pool, on_commit: OnCommit) -> None:
        self._pool = pool
        self._on_commit = on_commit
        self._numbers = SeriesNumbers()
        self._buffer: deque[Sample] = deque(maxlen=BUFFER_SAMPLES_MAX)
        self._ring = asyncio.Event()
        self._direct = asyncio.Semaphore(DIRECT_WRITES_MAX)
        self.resolution: Resolution = lambda _, declared: declared
        self.dropped = 0
        self.stored = 0

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def put(self, samples: Sequence[Sample]) -> None:
        """Take samples to be stored within about a second; never waits."""
        excess = len(self._buffer) + len(samples) - BUFFER_SAMPLES_MAX
        self._count_dropped(max(0, excess), "buffer full")
        self._buffer.extend(samples)
        self._ring.set()

    async def write(self, samples: Sequence[Sample]) -> Stored:
        """Store samples and return when they are committed. Raises what the database raises."""
        async with self._direct:
            return await self._store(samples)

    async def write_histograms(self, histograms: Sequence[Histogram]) -> Stored:
        """Store histograms and return when they are committed, as `write` does samples."""
        async with self._direct, self._pool.connection() as connection, connection.transaction():
            numbers = await self._numbers.of(connection, {one.series for one in histograms})
            accepted = await insert_histograms(connection, numbers, histograms)
        self._numbers.remember(numbers)
        return Stored(accepted, len(histograms) - accepted)

    async def run(self) -> None:
        """Flush whenever there is something, until cancelled."""
        while True:
            await self._ring.wait()
            await asyncio.sleep(GATHER_S)
            self._ring.clear()
            if not await self._flush():
                await asyncio.sleep(RETRY_S)
                self._ring.set()

    async def drain(self) -> None:
        """Store what is left, for as long as DRAIN_TIMEOUT_S; then say how much was not."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not await self._flush():  # noqa: ASYNC110 (no event tells)
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            self._count_dropped(len(self._buffer), "database away at the end")

    async def _flush(self) -> bool:
        """Store the buffer batch by batch; False when the database is away."""
        while self._buffer:
            count = min(len(self._buffer), BATCH_SAMPLES_MAX)
            batch = [self._buffer.popleft() for _ in range(count)]
            try:
                await self._store(batch)
            except (psycopg.DataError, psycopg.IntegrityError, DomainError) as error:
                self._count_dropped(count, str(error).strip())
            except psycopg.Error as error:
                self._put_back(batch)
                log.warning("flush_failed", samples=self.pending, error=str(error).strip())
                return False
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
        return True

    def _put_back(self, batch: list[Sample]) -> None:
        """Return a batch to the front; had it been committed, storing it again changes nothing."""
        room = BUFFER_SAMPLES_MAX - len(self._buffer)
        self._count_dropped(max(0, len(batch) - room), "buffer full")
        self._buffer.extendleft(reversed(batch[-room:] if room else []))

    async def _store(self, samples: Sequence[Sample]) -> Stored:
        samples = [self._as_set(sample) for sample in samples]
        async with self._pool.connection() as connection, connection.transaction():
            numbers = await self._numbers.of(connection, {sample.series for sample in samples})
            accepted = await insert_numbered(connection, numbers, samples)
        self._numbers.remember(numbers)
        self.stored += accepted
        self._on_commit(samples)
        return Stored(accepted, len(samples) - accepted)

    def _as_set(self, sample: Sample) -> Sample:
        """Return a sample whose series has the resolution that the settings want of it."""
        series = sample.series
        wanted = self.resolution(series.metric, series.resolution)
        if wanted == series.resolution:
            return sample
        return replace(sample, series=replace(series, resolution=wanted))

    def _count_dropped(self, count: int, reason: str) -> None:
        if count:
            self.dropped += count
            log.error("samples_dropped", count=count, reason=reason)


async def insert(connection: Connection, numbers: SeriesNumbers, samples: Sequence[Sample]) -> int:
    """Insert samples in the caller's transaction and return how many were not there yet."""
    known = await numbers.of(connection, {sample.series for sample in samples})
    return await insert_numbered(connection, known, samples)


async def insert_numbered(
    connection: Connection, known: Mapping[Series, int], samples: Sequence[Sample]
) -> int:
    """Insert samples of series whose numbers are known; the rest as `insert`."""
    distributions = {known[s.series] for s in samples if s.series.kind is Kind.DISTRIBUTION}
    accepted: int = await queries.value(
        connection,
        INSERT,
        series_ids=[known[sample.series] for sample in samples],
        times=[sample.time for sample in samples],
        values=[_storable(sample) for sample in samples],
        distributions=list(distributions),
    )
    observed = [sample for sample in samples if sample.series.metric == "component_up"]
    if observed:
        await queries.run(
            connection,
            SET_REASONS,
            series_ids=[known[sample.series] for sample in observed],
            times=[sample.time for sample in observed],
            reasons=[sample.reason for sample in observed],
        )
    return accepted


async def insert_histograms(
    connection: Connection, known: Mapping[Series, int], histograms: Sequence[Histogram]
) -> int:
    """Insert histograms of series whose numbers are known; return how many were not there yet."""
    lengths = [len(one.buckets) for one in histograms]
    accepted: int = await queries.value(
        connection,
        INSERT_HISTOGRAMS,
        series_ids=np.repeat([known[one.series] for one in histograms], lengths).tolist(),
        times=[time_of(one.time) for one in histograms for _ in range(len(one.buckets))],
        log_buckets=np.concatenate([one.buckets for one in histograms]).tolist(),
        counts=np.concatenate([one.counts for one in histograms]).tolist(),
    )
    return accepted


def _storable(sample: Sample) -> float:
    value = float(sample.series.round(sample.value))
    return value if value == 0 or abs(value) >= VALUE_MIN else 0.0


@asynccontextmanager
async def open_writer(pool: Pool, on_commit: OnCommit) -> AsyncIterator[Writer]:
    """Open a writer whose `run` the caller keeps going; what is left at the end is stored."""
    writer = Writer(pool, on_commit)
    try:
        yield writer
    finally:
        await writer.drain()
