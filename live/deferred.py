"""Deferred messages: encoded when the first client needs them, one in each turn of the loop."""

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
"""How many encoded messages with values are kept for clients that have not reached them yet."""


class Message(Struct, frozen=True):
    """An encoded message in two parts; the client's `seq` is inserted between them."""

    head: str
    tail: str

    def text(self, seq: int) -> str:
        return f"{self.head}{seq}{self.tail}"


def message(kind: str, time: datetime, data: object) -> Message:
    """Encode a message of any type."""
    rest = msgspec.json.encode({"time": time, "data": data}).decode()
    return Message(f'{{"type":"{kind}","seq":', f",{rest[1:]}")


class Deferred:
    """A message that is encoded when the first client needs it, or is then found to be empty.

    It stays encoded as long as it is among the `kept` messages or, without them, as long as it
    exists.
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
        """Drop the encoded text. The next client that needs it encodes it again."""
        self._made, self.is_encoded = None, False

    def text(self, seq: int) -> str:
        """Return the text of the message with a seq; an empty text if the message is empty."""
        if not self.is_encoded:
            self.encode()
        return "" if self._made is None else self._made.text(seq)


def pause() -> Deferred:
    """Return an empty message. A client that takes it yields to the event loop."""
    return Deferred(lambda: None)


class KeptMessages:
    """The deferred messages encoded last; older ones lose their text."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Deferred] = deque()

    def add(self, one: Deferred) -> None:
        self._messages.append(one)
        if len(self._messages) > self._limit:
            self._messages.popleft().forget()


class Reached(Generic[T]):
    """A lazy sequence: each item is computed for the first client, and kept for the others."""

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
    """Encodes messages for all clients, one in each turn of the event loop.

    A wake-up reaches all clients in the same turn. If each then encoded another message, the turn
    would take as long as all of them together.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def text(self, one: Deferred, seq: int) -> str:
        """Return the text of a message; the first client that needs it encodes it."""
        while not one.is_encoded:
            if one.being_encoded is not None:
                await one.being_encoded.wait()
                continue
            one.being_encoded = encoded = asyncio.Event()
            try:
                async with self._lock:
                    one.encode()
                    # Holding the lock in this turn keeps every other message for a later turn.
                    await asyncio.sleep(0)
            finally:
                one.being_encoded = None
                encoded.set()
        return one.text(seq)
