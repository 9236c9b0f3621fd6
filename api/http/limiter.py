"""Concurrency limits: some requests run at once, others wait briefly, and keys take turns."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from model.errors import UnavailableError

WAIT_S = 5.0


class Usage(Struct, frozen=True):
    """The present use of a limit, and its counters since the start."""

    running: int
    waiting: int
    waited: int
    refused: int


class Limiter:
    """Runs `at_once` requests; at most `waiting_max` others wait, `waiting_per_key_max` of a key.

    A free slot goes to the key whose turn it is, not to the oldest request. A key with many
    requests therefore delays another key by one request only. `at_once_per_key` is for long
    requests: a key at this limit waits for its own requests, and other keys pass it.

    If all waiting places are taken, the key with the most waiting requests loses its newest one to
    a key that has fewer. A key without waiting requests is therefore refused only if as many keys
    wait as there are places.

    A refusal is delayed by `refusal_delay_s`. A client that ignores Retry-After and retries at once
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
        """Waiting requests by key, in the order of their turns. No queue is empty."""
        self._waiting = 0
        self.waited = 0
        self.refused = 0

    def usage(self) -> Usage:
        return Usage(self._at_once - self._free, self._waiting, self.waited, self.refused)

    @asynccontextmanager
    async def slot(self, key: str = "", wait_s: float | None = None) -> AsyncIterator[None]:
        """Wait for a slot and hold it. Raises UnavailableError if too many wait, or too long."""
        await self.acquire(key, wait_s)
        try:
            yield
        finally:
            self.release(key)

    async def acquire(self, key: str = "", wait_s: float | None = None) -> None:
        """Wait for a slot for `wait_s` (default WAIT_S); `release` returns it.

        Raises UnavailableError if too many wait, or too long.
        """
        if self._may_run(key):
            self._start(key)
            return
        if self._queued(key) >= self._per_key_max or not self._has_place(key):
            await self._refuse_later()
        await self._wait(key, WAIT_S if wait_s is None else wait_s)

    def release(self, key: str = "") -> None:
        """Return a slot. It goes to the oldest request of the next key, if any waits."""
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
        """Return whether one more request of a key may wait; another key may lose its place."""
        if self._waiting < self._waiting_max:
            return True
        longest = max(self._queues, key=self._queued, default=key)
        # Only if the longest queue stays at least as long: otherwise the two keys would take the
        # place from each other again and again.
        if self._queued(longest) <= self._queued(key) + 1:
            return False
        newest = self._queues[longest].pop()
        self._waiting -= 1
        if not newest.done():
            newest.set_result(False)
        return True

    def _admit(self, key: str) -> asyncio.Future[bool]:
        """Take the oldest request of a key from its queue; move the key behind all others."""
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
        """Leave the queue after a timeout or cancellation.

        A slot may have been granted at the same moment. It must be released, or it would be lost.
        """
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
            f"too many requests: {self._at_once} of this kind may run at once{of_key} and "
            f"{self._waiting_max} may wait ({self._per_key_max} of one key); try again soon, "
            "or ask for less"
        )
        raise self._refusal(words)
