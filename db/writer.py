"""The one way of samples into the database: bounded, batched, and idempotent by (series, time)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import psycopg
import structlog
from msgspec import Struct
from msgspec.structs import replace

from db.backlog import Backlog
from db.drain import Drain
from db.failures import FAILURES, Failure, describe, failure_of
from db.incarnation import Incarnations, try_write
from db.insert import insert_load
from db.load import Load, sort_out
from db.queries import Connection, Pool
from db.series import SeriesNumbers
from vigia.model import Column, Sample, UnavailableError, columns_of

log = structlog.get_logger()

BUFFER_SAMPLES_MAX = 100_000
BATCH_SAMPLES_MAX = 10_000
GATHER_S = 0.1
RETRY_S = 1.0
LOOK_S = 0.5
"""How often a database that is away is tried, and the disk is looked at for what waits."""
SETTLE_POLL_S = 0.05
DRAIN_TIMEOUT_S = 10.0
DIRECT_WRITES_MAX = 4
WAITING_WRITES_MAX = 256
WRITE_TIMEOUT_S = 5.0


OnCommit = Callable[[Sequence[Sample]], None]
Resolution = Callable[[str, float | None], float | None]
"""What values of a metric are rounded to, from its name and what it declares."""


class Stored(Struct, frozen=True):
    """What became of a load: samples and histograms.

    `duplicate` is None while it waits on disk. `refused` is what belongs to series that would be
    one too many; `series` counts those that were taken for new.
    """

    accepted: int
    duplicate: int | None
    refused: Load = Load()
    series: int = 0


class Writer:
    """Buffers the collectors' samples, and stores at once what is acknowledged.

    While the database is away, what is acknowledged waits on disk; the buffer waits in memory and
    keeps the newest BUFFER_SAMPLES_MAX samples. What it drops is counted.
    """

    def __init__(
        self,
        pool: Pool,
        on_commit: OnCommit,
        backlog: Backlog | None = None,
        *,
        can_copy: bool = False,
        is_away: bool = False,
        incarnations: Incarnations | None = None,
    ) -> None:
        """With `is_away`, everything is kept on disk until `learn` has ended.

        Without `incarnations`, the database is taken for the same one for ever.
        """
        self._pool = pool
        self._on_commit = on_commit
        self._backlog = backlog
        self._drain = Drain(backlog, self._store_acknowledged) if backlog else None
        self._can_copy = can_copy
        self._incarnations = incarnations or Incarnations()
        self._buffer: deque[Sample] = deque(maxlen=BUFFER_SAMPLES_MAX)
        self._ring = asyncio.Event()
        self._direct = asyncio.Semaphore(DIRECT_WRITES_MAX)
        self._waiting = 0
        self._is_flushing = False
        self._is_away = is_away
        self._cause = ""
        self._disk_failure = ""
        self.resolution: Resolution = lambda _, declared: declared
        self.dropped = 0
        self.stored = 0

    @property
    def is_away(self) -> bool:
        """Whether the database is known not to take samples; it is tried again every second."""
        return self._is_away

    @property
    def cause(self) -> str:
        """Why the database takes no samples, in words for an operator; empty when it does."""
        return self._cause if self._is_away else ""

    @property
    def postponed(self) -> int:
        """How many loads the database refused without a clear reason while it was well."""
        return self._drain.postponed if self._drain else 0

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
        """Store samples as `store` does."""
        return await self.store(Load(columns_of(samples)))

    async def store(self, load: Load, series_max: int | None = None) -> Stored:
        """Return when a load is committed, or safe on disk while the database is away.

        At most `series_max` new series are made. Raises UnavailableError when there is no room on
        disk or too much is being written, and what the database says of a value that it cannot
        take. Every other error of the database is no fault of the load, which then waits on disk.
        """
        if self._backlog is None:
            return await self._store_in_turn(load, series_max)
        if not self._is_away:
            try:
                return await self._store_in_turn(load, series_max)
            except FAILURES as error:
                self._consider(error)
        await self._keep(load, self._backlog)
        return Stored(load.samples, None)

    async def learn(self) -> None:
        """Look which series there are already."""
        async with self._pool.connection() as connection:
            await (await self._incarnations.of(connection)).numbers.learn(connection)
        self._is_away = False

    async def run(self) -> None:
        """Flush whenever there is something, until cancelled."""
        while True:
            await self._ring.wait()
            await asyncio.sleep(GATHER_S)
            self._ring.clear()
            if not await self._flush():
                await asyncio.sleep(RETRY_S)
                self._ring.set()

    async def take_back(self) -> None:
        """Store what waits on disk, in order, as soon as the database is there; until cancelled."""
        while self._drain is not None:
            try:
                if self._is_away or await self._drain.is_due():
                    await self._return_to(self._drain)
            except (psycopg.Error, TimeoutError) as error:
                if failure_of(error) is not Failure.BUSY:
                    self._go_away(error)
            except (OSError, UnavailableError) as error:
                self._note_disk(str(error))
            await asyncio.sleep(LOOK_S)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until nothing waits in memory or on disk; False when something still does."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_settled():  # noqa: ASYNC110 (no event tells)
                    await asyncio.sleep(SETTLE_POLL_S)
        except TimeoutError:
            return False
        return True

    def _is_settled(self) -> bool:
        is_spool_empty = self._backlog is None or self._backlog.is_empty
        return is_spool_empty and not self._buffer and not self._is_flushing

    async def drain(self) -> None:
        """Store what is left, for as long as DRAIN_TIMEOUT_S; then on disk."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not await self._flush():  # noqa: ASYNC110 (no event tells)
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            await self._keep_buffer()

    async def _flush(self) -> bool:
        """Store the buffer batch by batch; False when the database is away."""
        self._is_flushing = True
        try:
            return await self._flush_batches()
        finally:
            self._is_flushing = False

    async def _flush_batches(self) -> bool:
        while self._buffer:
            count = min(len(self._buffer), BATCH_SAMPLES_MAX)
            batch = [self._buffer.popleft() for _ in range(count)]
            try:
                stored = await self._store(Load(columns_of(batch)))
            except FAILURES as error:
                failure = failure_of(error)
                if failure is Failure.REFUSED:
                    self._count_dropped(count, str(error).strip())
                    continue
                self._put_back(batch)
                if failure is Failure.UNCLEAR:
                    # Out of the way of the others; the spool tries each part of it alone.
                    await self._keep_buffer()
                log.warning("flush_failed", samples=self.pending, error=describe(error))
                return False
            except asyncio.CancelledError:
                self._put_back(batch)
                raise
            else:
                self._count_dropped(stored.refused.samples, "too many series")
        return True

    def _put_back(self, batch: list[Sample]) -> None:
        """Return a batch to the front; had it been committed, storing it again changes nothing."""
        room = BUFFER_SAMPLES_MAX - len(self._buffer)
        self._count_dropped(max(0, len(batch) - room), "buffer full")
        self._buffer.extendleft(reversed(batch[-room:] if room else []))

    async def _keep_buffer(self) -> None:
        load = Load(columns_of(self._buffer))
        if self._backlog is not None and load.samples:
            try:
                await self._backlog.put(load)
            except (OSError, UnavailableError) as error:
                self._count_dropped(load.samples, str(error))
        else:
            self._count_dropped(load.samples, "database away at the end")
        self._buffer.clear()

    async def _keep(self, load: Load, backlog: Backlog) -> None:
        try:
            await backlog.put(load)
        except OSError as error:
            self._note_disk(error.strerror or str(error))
            raise UnavailableError("neither the database nor the disk takes it now") from error
        self._note_disk("")

    def _note_disk(self, failure: str) -> None:
        """Log what the disk says when it says something else: a full one refuses thousands."""
        if failure and failure != self._disk_failure:
            log.error("spool_failed", error=failure)
        elif self._disk_failure and not failure:
            log.info("spool_works_again", was=self._disk_failure)
        self._disk_failure = failure

    def _consider(self, error: BaseException) -> None:
        """Raise what the sender has to know; otherwise the load is to wait on disk."""
        failure = failure_of(error)
        if failure is Failure.REFUSED:
            raise error
        if failure is Failure.BUSY:
            raise UnavailableError("too much is being written; send it again soon") from error
        if failure is Failure.AWAY:
            self._go_away(error)
        else:
            log.error("write_failed", error=describe(error))

    def _go_away(self, error: BaseException) -> None:
        cause = describe(error)
        if not self._is_away or cause != self._cause:
            log.warning("database_away", error=cause)
        self._is_away, self._cause = True, cause

    async def _return_to(self, drain: Drain) -> None:
        # Without a deadline, a connection that went silent would keep everything on disk for ever.
        async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.connection() as connection:
            await try_write(connection)
        await self._incarnations.renew(self._pool)
        await drain.run()
        self._is_away = False

    async def _store_acknowledged(self, load: Load) -> Load:
        """Store what was acknowledged, however many wait; return what is of too many series."""
        async with self._direct:
            stored = await self._store(load)
        # Only now: a database that takes one kind of write may refuse another.
        self._is_away = False
        return stored.refused

    async def _store_in_turn(self, load: Load, series_max: int | None = None) -> Stored:
        if self._waiting >= WAITING_WRITES_MAX:
            raise UnavailableError("too many writes wait for the database; send it again soon")
        self._waiting += 1
        try:
            # The deadline is that of the wait as well: behind a database that hangs, each would
            # otherwise wait for all the deadlines before its own.
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._direct:
                return await self._store(load, series_max)
        finally:
            self._waiting -= 1

    async def _store(self, load: Load, series_max: int | None = None) -> Stored:
        load = Load([self._as_set(column) for column in load.columns], load.histograms)
        async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.connection() as connection:
            # Numbers of another database would name other series there.
            incarnation = await self._incarnations.of(connection)
            async with connection.transaction():
                found = await incarnation.numbers.of(connection, load.series(), series_max)
                taken, refused = sort_out(load, found.known)
                known = found.known
                accepted = await insert_load(connection, known, taken, can_copy=self._can_copy)
        incarnation.numbers.remember(found.known)
        self._incarnations.remember(incarnation, list(found.known.values()))
        self.stored += accepted
        self._on_commit([column.newest() for column in taken.columns])
        return Stored(accepted, taken.samples - accepted, refused, found.asked)

    def _as_set(self, column: Column) -> Column:
        """Return a column whose series has the resolution that the settings want of it."""
        series = column.series
        wanted = self.resolution(series.metric, series.resolution)
        if wanted == series.resolution:
            return column
        return replace(column, series=replace(series, resolution=wanted))

    def _count_dropped(self, count: int, reason: str) -> None:
        if count:
            self.dropped += count
            log.error("samples_dropped", count=count, reason=reason)


async def insert(connection: Connection, numbers: SeriesNumbers, samples: Sequence[Sample]) -> int:
    """Insert samples in the caller's transaction and return how many were not there yet."""
    load = Load(columns_of(samples))
    found = await numbers.of(connection, load.series())
    return await insert_load(connection, found.known, load, can_copy=False)


@asynccontextmanager
async def open_writer(
    pool: Pool,
    on_commit: OnCommit,
    backlog: Backlog | None = None,
    *,
    can_copy: bool = False,
    is_away: bool = False,
    incarnations: Incarnations | None = None,
) -> AsyncIterator[Writer]:
    """Open a writer whose `run` the caller keeps going; what is left at the end is stored."""
    writer = Writer(
        pool,
        on_commit,
        backlog,
        can_copy=can_copy,
        is_away=is_away,
        incarnations=incarnations,
    )
    try:
        yield writer
    finally:
        await writer.drain()
