"""Stores what waits in the spool, in order; only what can never be stored is quarantined.

1. Each segment is stored in groups. A group that the database refuses is halved until only the
   samples are left that it refuses.
2. Of these, what is wrong by itself is quarantined; what is refused without a clear reason is
   postponed, and tried again later.
3. A segment is deleted when all of it is stored, quarantined or postponed.
4. Records that a person gave back from the quarantine are stored behind all others, in the same
   way, and then what was postponed.

The database may fail at any point. Then the segment is read again from its beginning: what was
stored is there already, and what was quarantined or postponed has the same name as before. A file
that the disk refuses to read, write or delete is kept, rests, and holds up no other.
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
"""How long postponed records rest; twice as long after each time that one of them failed."""
RETRIES_MAX = 20
"""How many of the postponed records may fail in one turn."""


class Drain:
    """Takes loads out of the spool.

    `store` stores a load and returns what belongs to series that would be one too many. `is_well`
    tells whether the database takes another sample now, of a series that nobody sends.
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
        """When what is postponed is tried again."""

    async def is_due(self) -> bool:
        """Whether something waits that is worth a try now."""
        await self._look()
        files = [*self._spool.closed, *self._requeued]
        return (
            self._spool.has_active
            or any(not self._failures.is_resting(path) for path in files)
            or self._is_retry_due
        )

    async def run(self) -> None:
        """Store all that waits now.

        Raises what the database says when it is away; what is not stored by then is still in the
        spool, and so is what the disk refuses.
        """
        await self._look()
        await self._drain_segments()
        for path in self._requeued:
            await self._try(path, self._drain_requeued)
        if self._is_retry_due:
            await self._retry_postponed()

    async def _look(self) -> None:
        """See what people moved, and what the disk deletes by now."""
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
        """Do something with a file, unless it failed just now; what the disk says is noted."""
        if self._failures.is_resting(path):
            return
        try:
            await work(path)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                # The database's: Python counts it among the errors of the system.
                raise
            self._failures.note(path, error)
        else:
            self._failures.clear(path)

    async def _drain_segments(self) -> None:
        found = self._spool.closed
        for segment in found:
            await self._try(segment, self._drain_segment)
        # Only now: a database that stores none of them must not cause one more in each turn.
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
        """Store a load; of what the database refuses, keep only that out of its way."""
        error = await self._try_to_store(batch)
        if error is None:
            return
        if halves := halves_of(batch):
            for half in halves:
                await self._take(half)
            return
        if failure_of(error) is not Failure.REFUSED:
            # Once more: it may have met with a connection that was lost, or a statement of another.
            error = await self._try_to_store(batch)
        if error is not None:
            await self._put_aside(batch, error)

    async def _try_to_store(self, batch: WriteBatch) -> Exception | None:
        """Store a load; return the error that is about the load, and raise every other."""
        try:
            excess = await self._store(batch)
        except Exception as error:
            # Whatever it is, of this program too: one load holds up no other for ever.
            if not await self._concerns_batch(error):
                raise
            return error
        await self._refuse_excess(excess)
        return None

    async def _concerns_batch(self, error: Exception) -> bool:
        """Whether an error is about the load: the database takes others."""
        if isinstance(error, (UnfitError, *UNFIT)):
            return False
        failure = failure_of(error)
        if failure in (Failure.REFUSED, Failure.BUSY):
            return failure is Failure.REFUSED
        # A statement that took too long, or that the server could not do, looks like an outage; and
        # a database that stores no sample at all may give no clear reason.
        return await self._is_well()

    async def _refuse_excess(self, excess: WriteBatch) -> None:
        if excess.samples:
            await self._spool.refuse(excess, "too many series")

    async def _put_aside(self, batch: WriteBatch, error: Exception) -> None:
        """Quarantine a load, or postpone one that may be right: it is never given up."""
        if failure_of(error) is Failure.REFUSED:
            await self._spool.refuse(batch, str(error).strip())
            return
        trace = {} if isinstance(error, FAILURES) else {"exc_info": error}
        log.error("load_postponed", samples=batch.samples, error=describe(error), **trace)
        if not self._spool.postponed:
            # Those before it are tried at their time, however many come after them.
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
        """Try to store a postponed load once more."""
        batch = await self._spool.read_record(path)
        error = await self._try_to_store(batch)
        if error is not None and failure_of(error) is not Failure.REFUSED:
            self._retried_in_vain += 1
            await self._spool.note_try(path)
            return
        if error is not None:
            await self._put_aside(batch, error)
        await self._spool.delete(path)
