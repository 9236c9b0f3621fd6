"""Running totals: differences of histograms, and start times of counters."""

from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from api.ingest.admission.parsed_write import FlatSamples
from api.ingest.formats.histograms import Buckets
from model.series import Column, Series

HELD_BYTES_MAX = 64 * 2**20
ENTRY_BYTES = 1_000
"""The approximate size of a total without its buckets."""

BEFORE_US = 3_600_000_000
"""Starts of senders are stored if they are at most this long before the start of Vigia."""
START_TIMES_MAX = 200_000


class Total(Struct, frozen=True, eq=False):
    """A running total at `time` since its sender `started`, both in microseconds."""

    started: int
    time: int
    buckets: Buckets

    @property
    def size(self) -> int:
        return ENTRY_BYTES + 16 * len(self.buckets.keys)


class Totals:
    """The last stored total of every series, in memory.

    The first total of an unknown series may include values that were stored before a restart of
    Vigia. It therefore only serves as the base of the next difference, unless its sender started
    after every total that may have been forgotten.
    """

    def __init__(self, now: int) -> None:
        self._known_from = now
        self._last: dict[Series, Total] = {}
        self._bytes = 0

    def since(self, series: Series, total: Total, newer: Mapping[Series, Total]) -> Buckets | None:
        """Return the difference of a total to the one before; None if it is unknown.

        `newer` are totals of the same request, which are not stored yet.
        """
        last = newer.get(series) or self._last.get(series)
        if last is None:
            return total.buckets if total.started >= self._known_from else None
        if total.time <= last.time:
            # A late or repeated total: a later total already includes it.
            return None
        # A start equal to the time of the previous total means "since that total" and is no
        # restart: OTLP marks streams with an unknown real start in this way.
        new = total.buckets.since(last.buckets) if total.started <= last.time else None
        return total.buckets if new is None else new

    def note_stored(self, stored: Iterable[tuple[Series, Total]]) -> None:
        """Remember totals after their differences are stored."""
        for series, total in stored:
            last = self._last.pop(series, None)
            newest = total if last is None or total.time > last.time else last
            self._bytes += newest.size - (last.size if last else 0)
            self._last[series] = newest
        self._forget()

    def _forget(self) -> None:
        """Forget the totals not used for longest. From then on older starts are not trusted."""
        while self._bytes > HELD_BYTES_MAX:
            series = next(iter(self._last))
            total = self._last.pop(series)
            self._bytes -= total.size
            self._known_from = max(self._known_from, total.time)


class StartTimes:
    """The newest stored start of each counter, in memory.

    A counter is 0 when its sender starts. Vigia stores that 0 as a sample, so that a restart is
    seen even if the counter has exceeded its old value since. Storing a 0 twice changes nothing, so
    starts that were forgotten, or that another replica stored, are simply stored again.
    """

    def __init__(self, now: int) -> None:
        self._known_from = now - BEFORE_US
        self._newest: dict[Series, int] = {}

    def zeros(
        self, samples: FlatSamples, starts: NDArray[np.int64], taken: NDArray[np.bool_]
    ) -> list[Column]:
        """Return a 0 at each start (microseconds; 0 is unknown) of a valid sample.

        Leaves out starts that are stored already, starts long before the start of Vigia, and starts
        equal to the time of their sample, which mean that the start is unknown.
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
        """Remember starts after they are stored."""
        for zero in stored:
            self._newest[zero.series] = max(int(zero.times[-1]), self._newest.get(zero.series, 0))
        if len(self._newest) > START_TIMES_MAX:
            self._newest.clear()
