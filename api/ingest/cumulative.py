"""Running totals of histograms as what came since the total before."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from api.ingest.histograms import Buckets
from vigia.model import Series

HELD_BYTES_MAX = 64 * 2**20
ENTRY_BYTES = 1_000
"""What a total takes beside its buckets, about."""


class Total(Struct, frozen=True, eq=False):
    """A running total at a time, since its sender started; both in microseconds."""

    started: int
    time: int
    buckets: Buckets

    @property
    def size(self) -> int:
        return ENTRY_BYTES + 16 * len(self.buckets.keys)


class Totals:
    """The last stored total of every series, in memory.

    A total that is not known may have been counted before a restart, so it only is where the next
    one counts from; unless its sender started after all that could have been forgotten.
    """

    def __init__(self, now: int) -> None:
        self._known_from = now
        self._last: dict[Series, Total] = {}
        self._bytes = 0

    def since(self, series: Series, total: Total, newer: Mapping[Series, Total]) -> Buckets | None:
        """Return what is new in a total, None when that cannot be told.

        `newer` are totals of the same request, which are not settled yet.
        """
        last = newer.get(series) or self._last.get(series)
        if last is None:
            return total.buckets if total.started >= self._known_from else None
        if total.time <= last.time:
            # It came late or twice: what it counted is in the total after it.
            return None
        new = total.buckets.since(last.buckets) if total.started < last.time else None
        return total.buckets if new is None else new

    def settle(self, stored: Iterable[tuple[Series, Total]]) -> None:
        """Remember totals whose difference is stored."""
        for series, total in stored:
            last = self._last.pop(series, None)
            newest = total if last is None or total.time > last.time else last
            self._bytes += newest.size - (last.size if last else 0)
            self._last[series] = newest
        self._forget()

    def _forget(self) -> None:
        """Let go of what was not asked for the longest. Its senders may still go on counting."""
        while self._bytes > HELD_BYTES_MAX:
            series = next(iter(self._last))
            total = self._last.pop(series)
            self._bytes -= total.size
            self._known_from = max(self._known_from, total.time)
