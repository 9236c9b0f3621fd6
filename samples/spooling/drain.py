"""Stores the records of the spool in order. It quarantines only samples that can never be stored.

1. Each segment is stored in groups. A group that the database refuses is halved until only the
   refused samples are left.
2. A refused sample with a permanent error is quarantined. One without a clear error is postponed,
   and tried again later.
3. A segment is deleted when all of it is stored, quarantined or postponed.
4. Records that a person requeued from the quarantine come next, in the same way.
5. Postponed records come last, when their retry is due.

The database may fail at any point. The segment is then read again from its beginning. This is safe:
stored samples are already there, and quarantined or postponed records get the same file name. A
file that cannot be read, written or deleted is kept and tried later, and does not block others.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from db.failures import FAILURES, Failure, describe, failure_of
from db.unfit import UNFIT
from samples.database.incarnation import UnfitError
from samples.spooling.spool import SampleSpool
from samples.write_batch import WriteBatch, grouped, halves_of, merged

log = structlog.get_logger()

REST_S = 30.0
REST_S_MAX = 600.0
"""Seconds until postponed records are tried again, doubled after each run in which one failed."""
RETRIES_MAX = 20
"""How many postponed records may fail in one run."""


class Drain:
    """Stores the batches of the spool.

    `store` stores a batch, and returns the part whose series exceed the limit. `is_well` returns
    whether the database accepts a sample of another series now.
    """

    def __init__(
        self,
        spool: SampleSpool,
        store: Callable[[WriteBatch], Awaitable[WriteBatch]],
        is_well: Callable[[], Awaitable[bool]],
    ) -> None:
        self._spool = spool
        self._store = store
        self._is_well = is_well
        self._failures = spool.failures
        self._requeued: list[Path] = []
        self._retried_in_vain = 0
        self._rest_s = REST_S
        self._resting_until = 0.0
        """The monotonic time of the next attempt with postponed records."""

    async def is_due(self) -> bool:
        """Return whether some record waits that can be tried now."""
        await self._look()
        files = [*self._spool.closed, *self._requeued]
        return (
            self._spool.has_active
            or any(not self._failures.is_resting(path) for path in files)
            or self._is_retry_due
        )

    async def run(self) -> None:
        """Store all records that wait now.

        Raises the database's error when it is away. All records that were not stored by then, and
        those in unreadable files, stay in the spool.
        """
        await self._look()
        await self._drain_segments()
        for path in self._requeued:
            await self._try(path, self._drain_requeued)
        if self._is_retry_due:
            await self._retry_postponed()

    async def _look(self) -> None:
        """List files that a person moved, and retry failed deletions."""
        await self._try(self._spool.quarantine_folder, self._count_quarantined)
        await self._try(self._spool.requeued_folder, self._list_requeued)
        for path in self._spool.undeleted:
            await self._try(path, self._spool.delete_again)

    async def _count_quarantined(self, _: Path) -> None:
        await self._spool.count_quarantined()

    async def _list_requeued(self, _: Path) -> None:
        self._requeued = []
        self._requeued = await self._spool.requeued()

    async def _try(self, path: Path, work: Callable[[Path], Awaitable[None]]) -> None:
        """Work on a file, unless it failed recently. A disk error is noted and not raised."""
        if self._failures.is_resting(path):
            return
        try:
            await work(path)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                # A timeout of the database. In Python, TimeoutError is a subclass of OSError.
                raise
            self._failures.note(path, error)
        else:
            self._failures.clear(path)

    async def _drain_segments(self) -> None:
        found = self._spool.closed
        for segment in found:
            await self._try(segment, self._drain_segment)
        # `segments` closes the active segment. Call it only after the closed ones were stored:
        # otherwise a database that stores nothing would cause one more segment in each run.
        for segment in await self._spool.segments():
            if segment not in found:
                await self._try(segment, self._drain_segment)

    async def _drain_segment(self, segment: Path) -> None:
        for batches in grouped(await self._spool.read(segment)):
            await self._take(merged(batches))
        await self._spool.delete(segment)

    async def _drain_requeued(self, path: Path) -> None:
        batch = await self._spool.read_record(path)
        if batch.samples:
            await self._take(batch)
        await self._spool.delete(path)

    @property
    def _is_retry_due(self) -> bool:
        return bool(self._spool.postponed) and time.monotonic() >= self._resting_until

    async def _take(self, batch: WriteBatch) -> None:
        """Store a batch. Halve a refused batch, until single samples can be put aside."""
        error = await self._try_to_store(batch)
        if error is None:
            return
        if halves := halves_of(batch):
            for half in halves:
                await self._take(half)
            return
        if failure_of(error) is not Failure.REFUSED:
            # Try again: a lost connection or a concurrent statement may have caused the error.
            error = await self._try_to_store(batch)
        if error is not None:
            await self._put_aside(batch, error)

    async def _try_to_store(self, batch: WriteBatch) -> Exception | None:
        """Store a batch. Return an error that its data caused, and raise any other error."""
        try:
            excess = await self._store(batch)
        except Exception as error:
            # Any error, even a defect of Vigia: one batch must not block the others for ever.
            if not await self._concerns_batch(error):
                raise
            return error
        await self._refuse_excess(excess)
        return None

    async def _concerns_batch(self, error: Exception) -> bool:
        """Return whether the data of the batch caused an error: the database accepts others."""
        if isinstance(error, (UnfitError, *UNFIT)):
            return False
        failure = failure_of(error)
        if failure in (Failure.REFUSED, Failure.BUSY):
            return failure is Failure.REFUSED
        # A slow or impossible statement looks like an outage, and a broken database may give no
        # clear error. A test with another sample tells them apart.
        return await self._is_well()

    async def _refuse_excess(self, excess: WriteBatch) -> None:
        if excess.samples:
            await self._spool.refuse(excess, "too many series")

    async def _put_aside(self, batch: WriteBatch, error: Exception) -> None:
        """Quarantine a batch with a permanent error, and postpone any other. None is dropped."""
        if failure_of(error) is Failure.REFUSED:
            await self._spool.refuse(batch, str(error).strip())
            return
        trace = {} if isinstance(error, FAILURES) else {"exc_info": error}
        log.error("load_postponed", samples=batch.samples, error=describe(error), **trace)
        if not self._spool.postponed:
            # Only the first one sets the time, so that later ones do not delay the retry.
            self._resting_until = time.monotonic() + self._rest_s
        await self._spool.postpone(batch)

    async def _retry_postponed(self) -> None:
        self._retried_in_vain = 0
        for path in await self._spool.postponed_paths():
            if self._retried_in_vain == RETRIES_MAX:
                break
            await self._try(path, self._retry)
        self._rest_s = min(2 * self._rest_s, REST_S_MAX) if self._retried_in_vain else REST_S
        self._resting_until = time.monotonic() + self._rest_s

    async def _retry(self, path: Path) -> None:
        """Try to store a postponed batch again."""
        batch = await self._spool.read_record(path)
        error = await self._try_to_store(batch)
        if error is not None and failure_of(error) is not Failure.REFUSED:
            self._retried_in_vain += 1
            await self._spool.note_try(path)
            return
        if error is not None:
            await self._put_aside(batch, error)
        await self._spool.delete(path)
