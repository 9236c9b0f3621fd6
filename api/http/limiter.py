"""Concurrency limits: so many run at once, so many wait, not for long, and keys take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from model.errors import UnavailableError

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
    one key with many requests delays another by a single one of them. `at_once_per_key` is for what
    may run long: a key beyond it waits for its own requests, and the others pass it.

    When all places are taken, the newest request of the key that has the most waiting gives its
    place to a key that has fewer. So a key of which none waits is refused only where as many keys
    wait as there are places, however many requests others send.

    A refusal takes `refusal_delay_s`: a client that asks again at once, whatever Retry-After says,
    would otherwise keep the event loop busy with refusals.
    """

    def __init__(
        self,
        at_once: int,
        waiting_max: int,
        waiting_per_key_max: int | None = None,
        refusal_delay_s: float = 0.0,
        refusal: Callable[[str], UnavailableError] = UnavailableError,
        at_once_per_key: int | None = None,
    ) -> None:
        """`refusal` makes the error of a refused request."""
        self._free = self._at_once = at_once
        self._at_once_per_key = at_once if at_once_per_key is None else at_once_per_key
        self._waiting_max = waiting_max
        self._per_key_max = waiting_max if waiting_per_key_max is None else waiting_per_key_max
        self._refusal_delay_s = refusal_delay_s
        self._refusal = refusal
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[bool]]] = {}
        """By key, in the order of their turns; none is empty."""
        self._waiting = 0
        self.waited = 0
        self.refused = 0

    def usage(self) -> Usage:
        return Usage(self._at_once - self._free, self._waiting, self.waited, self.refused)

    @asynccontextmanager
    async def slot(self, key: str = "", wait_s: float | None = None) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises UnavailableError when too many wait already."""
        await self.acquire(key, wait_s)
        try:
            yield
        finally:
            self.release(key)

    async def acquire(self, key: str = "", wait_s: float | None = None) -> None:
        """Wait for a slot, `WAIT_S` if not otherwise said; `release` gives it back.

        Raises UnavailableError.
        """
        if self._may_run(key):
            self._start(key)
            return
        if self._queued(key) >= self._per_key_max or not self._has_place(key):
            await self._refuse_later()
        await self._wait(key, WAIT_S if wait_s is None else wait_s)

    def release(self, key: str = "") -> None:
        """Hand a slot to the next key's oldest request, or keep it free."""
        self._free += 1
        self._running[key] -= 1
        if not self._running[key]:
            del self._running[key]
        while (following := next(filter(self._may_run, self._queues), None)) is not None:
            granted = self._admit(following)
            if not granted.done():
                self._start(following)
                granted.set_result(True)

    def _may_run(self, key: str) -> bool:
        return self._free > 0 and self._running[key] < self._at_once_per_key

    def _start(self, key: str) -> None:
        self._free -= 1
        self._running[key] += 1

    def _has_place(self, key: str) -> bool:
        """Whether one more of a key may wait; when all places are taken, another may give way."""
        if self._waiting < self._waiting_max:
            return True
        longest = max(self._queues, key=self._queued, default=key)
        # If both had as many afterwards as the longest has now, they would only change places.
        if self._queued(longest) <= self._queued(key) + 1:
            return False
        newest = self._queues[longest].pop()
        self._waiting -= 1
        if not newest.done():
            newest.set_result(False)
        return True

    def _admit(self, key: str) -> asyncio.Future[bool]:
        """Take a key's oldest request from its queue; the key goes behind all others that wait."""
        queue = self._queues.pop(key)
        granted = queue.popleft()
        self._waiting -= 1
        if queue:
            self._queues[key] = queue
        return granted

    async def _wait(self, key: str, wait_s: float) -> None:
        granted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(granted)
        self._waiting += 1
        self.waited += 1
        try:
            async with asyncio.timeout(wait_s):
                has_slot = await granted
        except BaseException as error:
            self._abandon(key, granted)
            if isinstance(error, TimeoutError):
                self._refuse()
            raise
        if not has_slot:
            await self._refuse_later()

    def _abandon(self, key: str, granted: asyncio.Future[bool]) -> None:
        """Leave the queue; a slot that was handed over in the same moment goes to the next."""
        if granted.done() and not granted.cancelled():
            if granted.result():
                self.release(key)
            return
        queue = self._queues.get(key)
        if queue is not None and granted in queue:
            queue.remove(granted)
            self._waiting -= 1
            if not queue:
                del self._queues[key]

    def _queued(self, key: str) -> int:
        return len(self._queues.get(key, ()))

    async def _refuse_later(self) -> None:
        await asyncio.sleep(self._refusal_delay_s)
        self._refuse()

    def _refuse(self) -> None:
        self.refused += 1
        most = self._at_once_per_key
        of_key = f" ({most} of one key)" if most < self._at_once else ""
        words = (
            f"{self._at_once} such requests run at once{of_key}, and {self._waiting_max} may wait, "
            f"of one key {self._per_key_max}; ask again soon, or for less"
        )
        raise self._refusal(words)
