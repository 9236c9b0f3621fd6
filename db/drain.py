"""Stores what waits in the spool, in order; only what can never be stored is quarantined."""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from db.backlog import Backlog
from db.failures import FAILURES, Failure, describe, failure_of
from db.load import Load, merged, portions

log = structlog.get_logger()

POSTPONED_FOR_S = 30.0
"""How long the spool rests after the database, which is well, refused a load of it and gave no
clear reason."""


class Drain:
    """Takes loads out of the spool.

    `store` stores a load and returns what belongs to series that would be one too many.
    """

    def __init__(self, backlog: Backlog, store: Callable[[Load], Awaitable[Load]]) -> None:
        self.postponed = 0
        self._backlog = backlog
        self._store = store
        self._resting_until = 0.0

    async def is_due(self) -> bool:
        """Whether something waits that is worth a try now."""
        if await self._backlog.has_requeued():
            return True
        is_resting = time.monotonic() < self._resting_until
        return not (is_resting or self._backlog.is_empty)

    async def run(self) -> None:
        """Store all that waits now.

        Raises what the database says when it is away, and OSError and UnavailableError of the disk;
        what is not stored by then is still in the spool.
        """
        await self._backlog.take_requeued()
        for segment in await self._backlog.segments():
            for loads in portions(await self._backlog.read(segment)):
                await self._take(loads)
            await self._backlog.remove(segment)

    async def _take(self, loads: Sequence[Load]) -> None:
        """Store some loads; of what the database refuses, only that is quarantined."""
        try:
            excess = await self._store(merged(loads))
        except FAILURES as error:
            failure = failure_of(error)
            if failure not in (Failure.REFUSED, Failure.UNCLEAR):
                raise
            if len(loads) > 1:
                for load in loads:
                    await self._take([load])
            elif failure is Failure.REFUSED:
                await self._backlog.refuse(loads[0], str(error).strip())
            else:
                await self._postpone(loads[0], error)
        else:
            if excess.samples:
                await self._backlog.refuse(excess, "too many series")

    async def _postpone(self, load: Load, error: BaseException) -> None:
        """Put a load behind all others: the database is well, and does not say what is wrong.

        The load may be right, so it is never given up; and those behind it need not wait for it.
        """
        log.error("load_postponed", samples=load.samples, error=describe(error))
        await self._backlog.put(load)
        self.postponed += 1
        self._resting_until = time.monotonic() + POSTPONED_FOR_S
