"""The series of components, cut into messages that are shared by all who want the component."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice

from live.deferred import ENCODED_MAX, Deferred, KeptMessages, Message, Reached, message, pause
from live.newest import Identity, Newest
from model.times import utc_now
from samples import current

METRICS = "metrics"
"""The type of their messages."""
MESSAGE_VALUES = 500
"""How many values one message carries at most: about 50 kB, and a millisecond to encode."""
SHARED_MAX = 256
"""Of how many components the messages are shared; there are no more that are so large."""

Piece = Deferred | Sequence[Identity]
"""A message that is full, or series that fill none."""


class Cuts:
    """Cuts series into messages, which hold the newest values at the time they are encoded."""

    def __init__(self, newest: Newest) -> None:
        self.newest = newest
        self._encoded = KeptMessages(ENCODED_MAX)
        self._whole: dict[str, tuple[int, Reached[Piece]]] = {}
        self._changes = lru_cache(SHARED_MAX)(self._changes_of)

    def release(self) -> None:
        """Forget what had changed: from now on more has."""
        self._changes.cache_clear()

    def whole(self, component: str) -> Iterable[Piece]:
        """Return all series of a component; clients share them until one of them changes."""
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
        """Return what was released of a component after a version; clients share that, too."""
        if self.newest.size(component) < MESSAGE_VALUES:
            return self.newest.released_of(component, version)
        return self._changes(component, version)

    def _changes_of(self, component: str, version: int) -> Reached[Piece]:
        return Reached(self._cut(self.newest.released_of(component, version)))

    def _cut(self, lists: Iterable[list[Identity]]) -> Iterator[Piece]:
        """Cut lists of series into full messages and a rest, with a pause for each empty one."""
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
        """Cut series into full messages and a rest."""
        left = iter(series)
        while piece := list(islice(left, MESSAGE_VALUES)):
            yield self.of(piece) if len(piece) == MESSAGE_VALUES else piece

    def messages(self, pieces: Iterable[Piece]) -> Iterator[Deferred]:
        """Yield as few messages as hold all pieces; their parts add up to the whole."""
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
        """Return the message with the newest values of some series, at most as many as fit."""
        return Deferred(partial(self._encode, series), self._encoded)

    def _encode(self, series: Sequence[Identity]) -> Message:
        # By their names: a message that waits for a slow client keeps no values alive.
        return message(METRICS, utc_now(), current.document(self.newest.find(series)))
