"""Concurrency limits: so many run at once, so many wait, not for long, and keys take turns."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from vigia.model import UnavailableError

WAIT_S = 5.0


class Usage(Struct, frozen=True):
    """How a limit is used now, and what it did since the start."""

    running: int
    waiting: int
    waited: int
    refused: int


class Limiter:
    """Lets `at_once` run; of the others at most `waiting_max` wait, each key at most its share.

    A slot that becomes free goes to the key whose turn it is, not to the request that came first:
    one key with many requests delays another by a single one of them.
    """

    def __init__(
        self, at_once: int, waiting_max: int, waiting_per_key_max: int | None = None
    ) -> None:
        self._free = self._at_once = at_once
        self._waiting_max = waiting_max
        self._per_key_max = waiting_max if waiting_per_key_max is None else waiting_per_key_max
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        """By key, in the order of their turns; none is empty."""
        self._waiting = 0
        self.waited = 0
        self.refused = 0

    def usage(self) -> Usage:
        return Usage(self._at_once - self._free, self._waiting, self.waited, self.refused)

    @asynccontextmanager
    async def slot(self, key: str = "") -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises UnavailableError when too many wait already."""
        await self.acquire(key)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, key: str = "") -> None:
        """Wait for a slot, which `release` gives back. Raises UnavailableError."""
        if self._free:
            self._free -= 1
            return
        if self._waiting >= self._waiting_max or self._queued(key) >= self._per_key_max:
            self._refuse()
        await self._wait(key)

    def release(self) -> None:
        """Hand a slot to the next key's oldest request, or keep it free."""
        while self._queues:
            key, queue = next(iter(self._queues.items()))
            granted = queue.popleft()
            # The key goes to the end, behind all the others that wait.
            del self._queues[key]
            if queue:
                self._queues[key] = queue
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1

    async def _wait(self, key: str) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(granted)
        self._waiting += 1
        self.waited += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await granted
        except BaseException as error:
            self._abandon(key, granted)
            if isinstance(error, TimeoutError):
                self._refuse()
            raise
        finally:
            self._waiting -= 1

    def _abandon(self, key: str, granted: asyncio.Future[None]) -> None:
        """Leave the queue; a slot that was handed over in the same moment goes to the next."""
        if granted.done() and not granted.cancelled():
            self.release()
            return
        queue = self._queues.get(key)
        if queue is not None and granted in queue:
            queue.remove(granted)
            if not queue:
                del self._queues[key]

    def _queued(self, key: str) -> int:
        return len(self._queues.get(key, ()))

    def _refuse(self) -> None:
        self.refused += 1
        raise UnavailableError(
            f"{self._at_once} such requests run at once, and {self._waiting_max} may wait, of one "
            f"key {self._per_key_max}; ask again soon, or for less"
        )
