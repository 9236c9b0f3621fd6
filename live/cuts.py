"""Splits the series of components into messages, which all clients of a component share."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice

from live.deferred import ENCODED_MAX, Deferred, KeptMessages, Message, Reached, message, pause
from live.newest import Identity, Newest
from model.times import utc_now
from samples import current

METRICS = "metrics"
"""The type of the messages."""
MESSAGE_VALUES = 500
"""Most values of one message: about 50 kB, which takes a millisecond to encode."""
SHARED_MAX = 256
"""For how many large components messages are cached; the limit of series allows no more."""

Piece = Deferred | Sequence[Identity]
"""A full message, or series that do not fill a message."""


class Cuts:
    """Splits series into messages, which contain the newest values at the time of encoding."""

    def __init__(self, newest: Newest) -> None:
        self.newest = newest
        self._encoded = KeptMessages(ENCODED_MAX)
        self._whole: dict[str, tuple[int, Reached[Piece]]] = {}
        self._changes = lru_cache(SHARED_MAX)(self._changes_of)

    def release(self) -> None:
        """Drop cached changes, because a new version was released."""
        self._changes.cache_clear()

    def whole(self, component: str) -> Iterable[Piece]:
        """Return all series of a component; clients share the messages until a value changes."""
        if self.newest.size(component) < MESSAGE_VALUES:
            return [self.newest.series(component)]
        changed = self.newest.changed(component)
        known = self._whole.pop(component, None)
        if known is None or known[0] != changed:
            known = changed, Reached(self.pieces(self.newest.series(component)))
        self._whole[component] = known
        if len(self._whole) > SHARED_MAX:
            del self._whole[next(iter(self._whole))]
        return known[1]

    def changes(self, component: str, version: int) -> Iterable[Piece]:
        """Return the series of a component released after a version; clients share the messages."""
        if self.newest.size(component) < MESSAGE_VALUES:
            return self.newest.released_of(component, version)
        return self._changes(component, version)

    def _changes_of(self, component: str, version: int) -> Reached[Piece]:
        return Reached(self._cut(self.newest.released_of(component, version)))

    def _cut(self, lists: Iterable[list[Identity]]) -> Iterator[Piece]:
        """Split lists of series into full messages and a rest; yield a pause for an empty list."""
        rest: list[Identity] = []
        for some in lists:
            rest += some
            if len(rest) >= MESSAGE_VALUES:
                yield self.of(rest[:MESSAGE_VALUES])
                rest = rest[MESSAGE_VALUES:]
            elif not some:
                yield pause()
        yield rest

    def pieces(self, series: Iterable[Identity]) -> Iterator[Piece]:
        """Split series into full messages and a rest."""
        left = iter(series)
        while piece := list(islice(left, MESSAGE_VALUES)):
            yield self.of(piece) if len(piece) == MESSAGE_VALUES else piece

    def messages(self, pieces: Iterable[Piece]) -> Iterator[Deferred]:
        """Yield as few messages as possible with all pieces."""
        rest: list[Identity] = []
        for piece in pieces:
            if isinstance(piece, Deferred):
                yield piece
                continue
            rest += piece
            if len(rest) >= MESSAGE_VALUES:
                yield self.of(rest[:MESSAGE_VALUES])
                rest = rest[MESSAGE_VALUES:]
        if rest:
            yield self.of(rest)

    def of(self, series: Sequence[Identity]) -> Deferred:
        """Return a message with the newest values of at most MESSAGE_VALUES series."""
        return Deferred(partial(self._encode, series), self._encoded)

    def _encode(self, series: Sequence[Identity]) -> Message:
        # Holding only names, a message that waits for a slow client keeps no values in memory.
        return message(METRICS, utc_now(), current.document(self.newest.find(series)))
