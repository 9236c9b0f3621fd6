"""Shared memory for request bodies, which the requests of one key cannot use up."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from api.http.limiter import WAIT_S
from model.errors import UnavailableError


class HeldBytes:
    """Counts received bytes, in all and by key, and refuses a key that holds too many.

    A key may hold at most as much as remains free after it takes more. Whatever k keys do, they
    leave at least 1/2ᵏ of the memory free, of which the next key can take half. This rule is needed
    because received bytes cannot be given back.
    """

    def __init__(self, bytes_max: int) -> None:
        self.free = bytes_max
        self.refused = 0
        self._by_key: Counter[str] = Counter()

    @contextmanager
    def holder(self, key: str) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes bytes or raises UnavailableError; frees them at the end."""
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size and self._by_key[key] + size > self.free - size:
                self.refused += 1
                raise busy()
            held += size
            self.free -= size
            self._by_key[key] += size

        try:
            yield take
        finally:
            self.free += held
            self._by_key[key] -= held
            if not self._by_key[key]:
                del self._by_key[key]


class Room:
    """Bytes that requests wait for; keys take turns. A request that waits too long is refused."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._queues: dict[str, deque[tuple[int, asyncio.Future[None]]]] = {}
        """Waiting requests by key, in the order of their turns. No queue is empty."""

    @asynccontextmanager
    async def held(self, size: int, key: str = "") -> AsyncIterator[Callable[[], None]]:
        """Wait for `size` bytes and hold them; yields a function that frees them before the end.

        Raises UnavailableError if the wait takes too long.
        """
        await self._take(size, key)
        held = [size]

        def leave() -> None:
            if held:
                self._give_back(held.pop())

        try:
            yield leave
        finally:
            leave()

    async def _take(self, size: int, key: str) -> None:
        if not self._queues and size <= self._free:
            self._free -= size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append((size, granted))
        try:
            async with asyncio.timeout(WAIT_S):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                # It was granted at the moment the wait ended. Without this the bytes are lost.
                self._give_back(size)
            else:
                self._leave(key, (size, granted))
                self._give_back(0)
            if isinstance(error, TimeoutError):
                raise busy() from None
            raise

    def _leave(self, key: str, place: tuple[int, asyncio.Future[None]]) -> None:
        queue = self._queues.get(key)
        if queue is not None and place in queue:
            queue.remove(place)
            if not queue:
                del self._queues[key]

    def _give_back(self, size: int) -> None:
        self._free += size
        while self._queues:
            key, queue = next(iter(self._queues.items()))
            wanted, granted = queue[0]
            if wanted > self._free and not granted.done():
                return
            queue.popleft()
            # Move the key behind all other waiting keys.
            del self._queues[key]
            if queue:
                self._queues[key] = queue
            if not granted.done():
                self._free -= wanted
                granted.set_result(None)


def busy() -> UnavailableError:
    """Return the error for a lack of memory."""
    return UnavailableError("too many request bodies are being received; try again soon")
