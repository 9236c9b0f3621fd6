"""Running totals: what is new in those of histograms, and since when those of counters count."""

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from api.ingest.admission.parsed_write import FlatSamples
from api.ingest.formats.histograms import Buckets
from model.series import Column, Series

HELD_BYTES_MAX = 64 * 2**20
ENTRY_BYTES = 1_000
"""What a total takes beside its buckets, about."""

BEFORE_US = 3_600_000_000
"""How long before this service a sender may have started whose start is stored at first sight."""
START_TIMES_MAX = 200_000


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
        # A start at the time of the total before names that total, and not another life: so begin
        # streams whose real start nobody knows.
        new = total.buckets.since(last.buckets) if total.started <= last.time else None
        return total.buckets if new is None else new

    def note_stored(self, stored: Iterable[tuple[Series, Total]]) -> None:
        """Remember totals whose difference is stored."""
        for series, total in stored:
            last = self._last.pop(series, None)
            newest = total if last is None or total.time > last.time else last
            self._bytes += newest.size - (last.size if last else 0)
            self._last[series] = newest
        self._forget()

    def _forget(self) -> None:
        """Forget what was not asked for the longest. Its senders may still go on counting."""
        while self._bytes > HELD_BYTES_MAX:
            series = next(iter(self._last))
            total = self._last.pop(series)
            self._bytes -= total.size
            self._known_from = max(self._known_from, total.time)


class StartTimes:
    """The newest start of each counter that is stored, in memory.

    A counter was 0 when its sender started, and that 0 is stored as a sample of its own. So a
    restart is seen, even where the counter has passed its old value since. To store a 0 twice
    changes nothing: what is forgotten here, or known to another replica, is stored again.
    """

    def __init__(self, now: int) -> None:
        self._known_from = now - BEFORE_US
        self._newest: dict[Series, int] = {}

    def zeros(
        self, samples: FlatSamples, starts: NDArray[np.int64], taken: NDArray[np.bool_]
    ) -> list[Column]:
        """Return a 0 at each start (microseconds; 0 is unknown) of a sample that is taken.

        Left out are starts that are stored, those long before this service, and those at the time
        of their sample: they say that nobody knows when the counter began.
        """
        begun = np.flatnonzero(taken & (starts >= self._known_from) & (starts < samples.times))
        places = np.repeat(np.arange(len(samples.counts)), samples.counts)[begun]
        found: dict[Series, set[int]] = {}
        for place, start in sorted(set(zip(places.tolist(), starts[begun].tolist(), strict=True))):
            series = samples.series[place]
            if start > self._newest.get(series, 0):
                found.setdefault(series, set()).add(start)
        return [
            Column(series, np.array(sorted(each), np.int64), np.zeros(len(each)))
            for series, each in found.items()
        ]

    def note_stored(self, stored: Iterable[Column]) -> None:
        """Remember the starts that are stored."""
        for zero in stored:
            self._newest[zero.series] = max(int(zero.times[-1]), self._newest.get(zero.series, 0))
        if len(self._newest) > START_TIMES_MAX:
            self._newest.clear()
