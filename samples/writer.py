"""Writes all samples to the database: bounded, batched, and idempotent by (series, time)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

import psycopg
import structlog
from msgspec.structs import replace

from db.failures import FAILURES, Failure, describe, failure_of, is_defect
from db.pool import BrokenSessionError
from db.queries import Pool
from model.errors import UnavailableError
from model.series import Column, Sample
from samples.buffer import SampleBuffer, cleaned
from samples.database.incarnation import Incarnations
from samples.database.outage import Outage
from samples.database.write_check import check_write, takes_samples
from samples.insert import insert_batch
from samples.series import OWN_SERIES
from samples.spooling.drain import Drain
from samples.spooling.spool import SampleSpool
from samples.write_batch import Stored, WriteBatch, sort_out, write_batch_of

log = structlog.get_logger()

BATCH_SAMPLES_MAX = 10_000
GATHER_S = 0.1
RETRY_S = 1.0
LOOK_S = 0.5
"""Seconds between two checks of the spool while the database is available."""
TRY_S = 0.25
"""Seconds between two attempts while the database is away."""
STORED_POLL_S = 0.05
DRAIN_TIMEOUT_S = 10.0
DIRECT_WRITES_MAX = 4
WAITING_WRITES_MAX = 256
WRITE_TIMEOUT_S = 5.0
WELL_TIMEOUT_S = 1.0
"""Limit of the check whether another write succeeds. A sender waits for it."""
SLICE_COLUMNS = 2000
"""How many columns are announced before the event loop runs other work: about 3 ms."""
OF_DATABASE = (psycopg.Error, TimeoutError)
"""The errors of the drain that come from the database."""

OnCommit = Callable[[Sequence[Sample]], None]
Resolution = Callable[[str, float | None], float | None]
"""Returns the resolution for the name of a metric and its declared resolution."""


class Writer:
    """Buffers collected samples in memory, and stores received samples before acknowledging them.

    While the database is away, received samples wait in the spool. The buffer keeps the newest
    collected samples. The caller runs `run` and `drain_spool` as tasks. At the end of the context,
    the buffer is stored in the database or in the spool.
    """

    def __init__(
        self,
        pool: Pool,
        on_commit: OnCommit,
        spool: SampleSpool | None = None,
        *,
        can_copy: bool = False,
        is_away: bool = False,
        incarnations: Incarnations | None = None,
    ) -> None:
        """With `is_away`, received samples go to the spool until `learn` has ended.

        Without `incarnations`, a replaced database is not detected.
        """
        self._pool = pool
        self._on_commit = on_commit
        self._spool = spool
        self._drain = Drain(spool, self._store_acknowledged, self._is_well) if spool else None
        self._can_copy = can_copy
        self._incarnations = incarnations or Incarnations()
        self._buffer = SampleBuffer()
        self._wake_up = asyncio.Event()
        self._direct = asyncio.Semaphore(DIRECT_WRITES_MAX)
        self._asking = asyncio.Lock()
        self._waiting = 0
        self._is_flushing = False
        self._is_away = is_away
        self._outage = Outage("database_away")
        self._flush_outage = Outage("flush_failed", "flush_works_again")
        self._disk_outage = Outage("spool_failed", "spool_works_again")
        self._drain_outage = Outage("drain_failed", "drain_works_again")
        self.resolution: Resolution = lambda _, declared: declared
        self.stored = 0

    @property
    def is_away(self) -> bool:
        """Whether the database is known to accept no samples. It is tried every `TRY_S` seconds."""
        return self._is_away

    @property
    def cause(self) -> str:
        """Why the database accepts no samples, for an operator, or "" if it does."""
        return self._outage.cause if self._is_away else ""

    @property
    def pending(self) -> int:
        return len(self._buffer)

    @property
    def dropped(self) -> int:
        """How many collected samples were lost."""
        return self._buffer.dropped

    def put(self, samples: Sequence[Sample]) -> None:
        """Add collected samples to the buffer, to be stored within about a second. Never waits."""
        self._buffer.put(samples)
        self._wake_up.set()

    async def store(self, batch: WriteBatch, series_max: int | None = None) -> Stored:
        """Store a batch of received samples. Return when it is committed, or durable in the spool.

        At most `series_max` new series are created. Raises UnavailableError when the spool is full
        or too many writes wait, and the database's error for data that it can never accept. After
        any other database error, the batch goes to the spool.
        """
        if self._spool is None:
            return await self._store_in_turn(batch, series_max)
        if not self._is_away:
            try:
                return await self._store_in_turn(batch, series_max)
            except FAILURES as error:
                await self._consider(error)
        await self._keep(batch, self._spool)
        return Stored(batch.samples, None)

    async def learn(self) -> None:
        """Load the series of the database. Until then, a start with `is_away` uses the spool."""
        async with self._pool.connection() as connection:
            numbers = (await self._incarnations.of(connection)).numbers
            if not numbers.is_complete:
                await numbers.learn(connection)
        self._is_away = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    async def run(self) -> None:
        """Store the buffer whenever it has samples, until cancelled."""
        while True:
            await self._wake_up.wait()
            await asyncio.sleep(GATHER_S)
            self._wake_up.clear()
            if not await self._flush():
                await asyncio.sleep(RETRY_S)
                self._wake_up.set()

    async def drain_spool(self) -> None:
        """Store the records of the spool whenever the database is available, until cancelled."""
        while self._drain is not None:
            try:
                if self._is_away or await self._drain.is_due():
                    await self._return_to(self._drain)
            except Exception as error:  # noqa: BLE001 (no error may end the drain of the spool)
                self._note_failure(error)
            else:
                self._drain_outage.note("")
            await asyncio.sleep(TRY_S if self._is_away else LOOK_S)

    async def wait_until_stored(self, timeout_s: float) -> bool:
        """Wait until the buffer and the spool are empty. Return False after `timeout_s` seconds.

        Postponed records and unreadable files do not count: it is unknown when they can be stored.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._is_stored():  # noqa: ASYNC110 (there is no event for it)
                    await asyncio.sleep(STORED_POLL_S)
        except TimeoutError:
            return False
        return True

    def _is_stored(self) -> bool:
        is_spool_empty = self._spool is None or self._spool.is_stored
        return is_spool_empty and not self._buffer and not self._is_flushing

    async def drain(self) -> None:
        """Store the buffer within DRAIN_TIMEOUT_S, then write the rest to the spool."""
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not await self._flush():  # noqa: ASYNC110 (there is no event for it)
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            rest = self._buffer.take(len(self._buffer))
            await self._keep_on_disk(rest, "database away at the end")

    async def _flush(self) -> bool:
        """Store the buffer in batches. Return False if the database is away."""
        self._is_flushing = True
        try:
            return await self._flush_batches()
        finally:
            self._is_flushing = False

    async def _flush_batches(self) -> bool:
        while self._buffer:
            batch = self._buffer.take(BATCH_SAMPLES_MAX)
            try:
                is_done = await self._flush_batch(batch)
            except asyncio.CancelledError:
                self._buffer.put_back(batch)
                raise
            if not is_done:
                self._buffer.put_back(batch)
                return False
        return True

    async def _flush_batch(self, batch: Sequence[Sample]) -> bool:
        """Store a batch. Return False if the database is away.

        A refused batch goes to the spool, whose drain finds the bad samples in it.
        """
        try:
            stored = await self._store(write_batch_of(batch), reserve=OWN_SERIES)
        except UnicodeError as error:
            self._flush_outage.note(describe(error), samples=len(batch))
            return await self._flush_batch([cleaned(sample) for sample in batch])
        except FAILURES as error:
            self._flush_outage.note(describe(error), samples=len(batch))
            failure = failure_of(error)
            if failure is Failure.BUSY:
                return False
            if failure is Failure.AWAY and not await self._is_well():
                self._go_away(error)
                return False
            await self._keep_on_disk(batch, str(error).strip())
        except Exception as error:  # noqa: BLE001 (one bad batch must not block the others)
            self._flush_outage.note(describe(error), samples=len(batch), exc_info=error)
            await self._keep_on_disk(batch, describe(error))
        else:
            self._flush_outage.note("")
            self._buffer.count_dropped(stored.refused.samples, "too many series")
        return True

    async def _keep_on_disk(self, samples: Sequence[Sample], reason: str) -> None:
        """Write collected samples to the spool. Without a spool they are dropped and counted."""
        if self._spool is None:
            self._buffer.count_dropped(len(samples), reason)
            return
        try:
            if samples:
                await self._spool.put(write_batch_of(samples, is_own=True))
        except (OSError, UnavailableError) as error:
            self._buffer.count_dropped(len(samples), str(error))

    async def _keep(self, batch: WriteBatch, spool: SampleSpool) -> None:
        try:
            await spool.put(batch)
        except OSError as error:
            self._disk_outage.note(error.strerror or str(error))
            problem = "the database cannot be reached and the disk of the spool fails"
            raise UnavailableError(f"{problem}; send the samples again later") from error
        self._disk_outage.note("")

    async def _consider(self, error: BaseException) -> None:
        """Raise an error for the sender, or return: then the batch goes to the spool."""
        failure = failure_of(error)
        if failure is Failure.REFUSED:
            raise error
        if failure is Failure.BUSY:
            raise UnavailableError("the database is busy; send the samples again soon") from error
        if failure is Failure.UNCLEAR or await self._is_of_one_write(error):
            log.error("write_failed", error=describe(error))
        else:
            self._go_away(error)

    async def _is_of_one_write(self, error: BaseException) -> bool:
        """Return whether a timeout concerns only this write, which may wait for a row lock."""
        if not isinstance(error, TimeoutError):
            return False
        # All writes to a hanging database time out together. One of them checks it for all.
        async with self._asking:
            if self._is_away:
                return False
            is_well = await self._is_well(WELL_TIMEOUT_S)
            if not is_well:
                self._go_away(error)
            return is_well

    def _go_away(self, error: BaseException) -> None:
        if not self._is_away:
            self._outage.note("")
        self._outage.note(describe(error))
        self._is_away = True

    def _note_failure(self, error: Exception) -> None:
        """Note why the records of the spool cannot be stored now."""
        if is_defect(error):
            # A defect is no outage of the database. The log has the traceback.
            self._drain_outage.note(describe(error), exc_info=error)
        elif not isinstance(error, OF_DATABASE):
            self._disk_outage.note(str(error))
        elif failure_of(error) is not Failure.BUSY:
            self._go_away(error)

    async def _return_to(self, drain: Drain) -> None:
        await check_write(self._pool, WRITE_TIMEOUT_S)
        await self._incarnations.renew(self._pool)
        try:
            await drain.run()
        except OF_DATABASE:
            raise
        except Exception:
            # `check_write` succeeded, so the database is available. Only the spool is blocked.
            self._is_away = False
            raise
        self._is_away = False

    async def _is_well(self, timeout_s: float = WRITE_TIMEOUT_S) -> bool:
        return await takes_samples(self._pool, timeout_s)

    async def _store_acknowledged(self, batch: WriteBatch) -> WriteBatch:
        """Store samples of the spool. Return the part whose series exceed the limit."""
        async with self._direct:
            stored = await self._store(batch, reserve=OWN_SERIES if batch.is_own else 0)
        # Set only after a real batch: a database can accept the test write and refuse samples.
        self._is_away = False
        return stored.refused

    async def _store_in_turn(self, batch: WriteBatch, series_max: int | None = None) -> Stored:
        if self._waiting >= WAITING_WRITES_MAX:
            raise UnavailableError("too many writes wait; send the samples again soon")
        self._waiting += 1
        try:
            # The deadline includes the wait for the semaphore. Otherwise each write to a hanging
            # database would wait for the deadlines of all writes before it.
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._direct:
                return await self._store(batch, series_max)
        finally:
            self._waiting -= 1

    async def _store(
        self, batch: WriteBatch, new_max: int | None = None, reserve: int = 0
    ) -> Stored:
        try:
            return await self._store_once(batch, new_max, reserve)
        except BrokenSessionError:
            # The pool has replaced all sessions by now, so that one retry is enough.
            return await self._store_once(batch, new_max, reserve)

    async def _store_once(self, batch: WriteBatch, new_max: int | None, reserve: int) -> Stored:
        """Store a batch in one transaction; only after its commit, cache numbers and announce."""
        batch = replace(batch, columns=[self._as_set(column) for column in batch.columns])
        async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.connection() as connection:
            # The cached numbers belong to one incarnation. In another one they name other series.
            incarnation = await self._incarnations.of(connection)
            tokens = self._incarnations.tokens_from_now()
            async with self._in_incarnation(), connection.transaction():
                found = await incarnation.numbers.of(connection, batch.series(), new_max, reserve)
                taken, refused = sort_out(batch, found.known)
                replica = self._incarnations.replica
                inserted = await insert_batch(
                    connection, found.known, taken, can_copy=self._can_copy, replica=replica
                )
                self._incarnations.confirm(incarnation, tokens, inserted.mark)
            # Another connection may have detected a replaced database. This commit then went to
            # the old one, and its rows will be lost: the batch must be stored again.
            self._incarnations.ensure_current(incarnation)
        incarnation.numbers.remember(found.known)
        self._incarnations.remember(incarnation, list(found.known.values()))
        accepted = inserted.accepted
        self.stored += accepted
        await self._announce(taken.columns)
        return Stored(accepted, taken.samples - accepted, refused, found.asked)

    @asynccontextmanager
    async def _in_incarnation(self) -> AsyncIterator[None]:
        """Begin a new incarnation if the database lacks a series whose number is cached."""
        try:
            yield
        except psycopg.errors.ForeignKeyViolation:
            self._incarnations.doubt()
            raise

    async def _announce(self, columns: Sequence[Column]) -> None:
        """Announce the newest sample of each column, in slices, because there may be 10,000."""
        for start in range(0, len(columns), SLICE_COLUMNS):
            if start:
                await asyncio.sleep(0)
            self._on_commit([one.newest() for one in columns[start : start + SLICE_COLUMNS]])

    def _as_set(self, column: Column) -> Column:
        """Return a column whose series has the resolution from the settings."""
        series = column.series
        wanted = self.resolution(series.metric, series.resolution)
        if wanted == series.resolution:
            return column
        return replace(column, series=replace(series, resolution=wanted))
