"""Messages that are encoded when the first client reaches them, one at a time for all clients."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")

ENCODED_MAX = 256
"""How many messages with values are kept encoded, for the clients that have yet to reach them."""


class Message(Struct, frozen=True):
    """A message but for its `seq`, which goes between the two parts."""

    head: str
    tail: str

    def text(self, seq: int) -> str:
        return f"{self.head}{seq}{self.tail}"


def message(kind: str, time: datetime, data: object) -> Message:
    """Encode a message of any type."""
    rest = msgspec.json.encode({"time": time, "data": data}).decode()
    return Message(f'{{"type":"{kind}","seq":', f",{rest[1:]}")


class Deferred:
    """A message that is encoded when the first client reaches it; what makes it may find nothing.

    It stays encoded as long as it is among the `kept` ones; without them, as long as it lives.
    """

    __slots__ = ("_kept", "_made", "_make", "being_encoded", "is_encoded")

    def __init__(
        self, make: Callable[[], Message | None], kept: "KeptMessages | None" = None
    ) -> None:
        self._make = make
        self._kept = kept
        self._made: Message | None = None
        self.is_encoded = False
        self.being_encoded: asyncio.Event | None = None

    def encode(self) -> None:
        self._made, self.is_encoded = self._make(), True
        if self._kept is not None:
            self._kept.add(self)

    def forget(self) -> None:
        """Forget how it is encoded; whoever still wants it encodes it again."""
        self._made, self.is_encoded = None, False

    def text(self, seq: int) -> str:
        """Return the message, empty when there is nothing to say."""
        if not self.is_encoded:
            self.encode()
        return "" if self._made is None else self._made.text(seq)


def pause() -> Deferred:
    """Return a message without text: whoever reaches it lets others have their turn."""
    return Deferred(lambda: None)


class KeptMessages:
    """The deferred messages that were encoded last; the others are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Deferred] = deque()

    def add(self, one: Deferred) -> None:
        self._messages.append(one)
        if len(self._messages) > self._limit:
            self._messages.popleft().forget()


class Reached(Generic[T]):
    """What is made when the first client reaches it, and kept for the others."""

    def __init__(self, source: Iterable[T]) -> None:
        self._source = iter(source)
        self._made: list[T] = []

    def __iter__(self) -> Iterator[T]:
        for number in count():
            if number == len(self._made):
                try:
                    self._made.append(next(self._source))
                except StopIteration:
                    return
            yield self._made[number]


class Encoding:
    """The encoding of messages: one in a turn of the event loop, whoever wants how many.

    Clients that each want something else are woken in the same turn, and together they would hold
    it up for as long as their number says.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def text(self, one: Deferred, seq: int) -> str:
        """Return a message for a client, encoded by the first who wants it."""
        while not one.is_encoded:
            if one.being_encoded is not None:
                await one.being_encoded.wait()
                continue
            one.being_encoded = encoded = asyncio.Event()
            try:
                async with self._lock:
                    one.encode()
                    # The lock is held meanwhile: all others have their turn before the next.
                    await asyncio.sleep(0)
            finally:
                one.being_encoded = None
                encoded.set()
        return one.text(seq)
