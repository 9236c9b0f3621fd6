"""A line that costly questions stand in: so many at once, so many waiting, and not for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vigia.model import UnavailableError

WAIT_S = 5.0


class Line:
    """Lets `at_once` through; of those behind them at most `waiting_max` may wait."""

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._at_once = at_once
        self._waiting_max = waiting_max
        self._waiting = 0
        self.refused = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises UnavailableError when there are too many."""
        await self._wait()
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self) -> None:
        if self._free.locked() and self._waiting >= self._waiting_max:
            self._refuse()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._free.acquire()
        except TimeoutError:
            self._refuse()
        finally:
            self._waiting -= 1

    def _refuse(self) -> None:
        self.refused += 1
        raise UnavailableError(
            f"{self._at_once} such questions are answered at once and {self._waiting_max} may "
            "wait; ask again soon, or for less"
        )
