"""What a body of another protocol comes to: columns to store, and why the rest is not taken."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from api.ingest.limits import VALUE_MAX
from db.load import Load
from vigia.model import Column, Histogram, Series, micros_of

REASONS_MAX = 20
SENTENCE_REASONS_MAX = 5


class Window(Struct, frozen=True):
    """The times in which samples are accepted."""

    start: datetime
    end: datetime


class Reason(Struct, frozen=True):
    """Why samples were rejected, and how many of them."""

    reason: str
    count: int


class Fault(Struct, frozen=True):
    """Why something is not taken: in one word for a counter, and in a sentence for people."""

    word: str
    sentence: str


STALE_BITS = 0x7FF0_0000_0000_0002
"""The NaN by which Prometheus says that a series has ended."""

STALE = Fault("stale", "a marker of the end of a series")
NAN = Fault("nan", "a value is not a number")
NO_VALUE = Fault("no_recorded_value", "a data point says that there is no value")
MARKERS = {STALE, NAN, NO_VALUE}
"""What senders mean to say by a value that is none."""
INFINITE = Fault("infinite", "a value is infinite")
TOO_LARGE = Fault("too_large", f"a value is beyond {VALUE_MAX:g}")
FUTURE = Fault("future", "more than 10 minutes in the future")


class FaultError(Exception):
    """One series or point cannot be taken; the others of its request can."""

    def __init__(self, fault: Fault, metric: str = "") -> None:
        super().__init__(fault.sentence)
        self.fault = fault
        self.metric = metric


class Intake(Struct):
    """What of a request can be stored, and why the rest cannot, by samples or data points.

    `skipped` is what the sender is not bothered with: markers that there is no value, and what is
    valid in its protocol but cannot be stored here. `examples` has, by fault, a metric that has it.
    """

    columns: list[Column] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    rejected: Counter[Fault] = field(default_factory=Counter)
    skipped: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, str] = field(default_factory=dict)

    def reject(self, fault: Fault, count: int = 1, metric: str = "") -> None:
        """Count what cannot be stored."""
        if count:
            self.rejected[fault] += count
            if metric:
                self.examples.setdefault(fault, metric)

    def skip(self, *faults: Fault) -> None:
        """Turn what was rejected for these reasons into what was left out."""
        for fault in faults:
            count = self.rejected.pop(fault, 0)
            if count:
                self.skipped[fault] += count

    def load(self) -> Load:
        """Return what can be stored."""
        return Load(self.columns, self.histograms)

    def reasons(self, most: int = REASONS_MAX) -> list[Reason]:
        """Return why samples were rejected, the commonest first; the others are summed up."""
        common = self.rejected.most_common(most)
        rest = self.rejected.total() - sum(count for _, count in common)
        told = [Reason(fault.sentence, count) for fault, count in common]
        return [*told, Reason("other reasons", rest)] if rest else told

    def sentence(self) -> str:
        """Say what was rejected and why."""
        told = self.reasons(SENTENCE_REASONS_MAX)
        return "; ".join(f"{each.count}: {each.reason}" for each in told)


class Flat(Struct):
    """Samples of several series, one series behind the other: `counts` of each."""

    series: Sequence[Series]
    counts: Sequence[int]
    times: NDArray[np.int64]
    values: NDArray[np.float64]


Found = tuple[Fault, NDArray[np.bool_]]
"""A fault, and which samples have it."""


def take(flat: Flat, window: Window, intake: Intake, own: Sequence[Found] = ()) -> None:
    """Judge every sample, by faults of the protocol first, and add those that can be stored."""
    fine = np.ones(len(flat.times), bool)
    for fault, bad in [*own, *_faults(flat, window)]:
        hit = bad & fine
        if hit.any():
            intake.reject(fault, int(np.count_nonzero(hit)), _first(flat, hit).metric)
            fine &= ~bad
    intake.skip(STALE)
    times, values = flat.times[fine], flat.values[fine]
    counts = flat.counts if fine.all() else _kept(flat.counts, fine)
    start = 0
    for series, end in zip(flat.series, itertools.accumulate(counts), strict=True):
        if end > start:
            intake.columns.append(Column(series, times[start:end], values[start:end]))
        start = end


def too_old(window: Window) -> Fault:
    """Return the fault of what is older than a window."""
    return Fault(
        "too_old", f"older than {window.start:%Y-%m-%dT%H:%M:%SZ}, which is no longer kept"
    )


def time_fault(micros: int, window: Window) -> Fault | None:
    """Return what is wrong with a time, if anything."""
    if micros < micros_of(window.start):
        return too_old(window)
    return FUTURE if micros > micros_of(window.end) else None


def _faults(flat: Flat, window: Window) -> list[Found]:
    return [
        (STALE, flat.values.view(np.uint64) == STALE_BITS),
        (NAN, np.isnan(flat.values)),
        (INFINITE, np.isinf(flat.values)),
        (TOO_LARGE, np.abs(flat.values) > VALUE_MAX),
        (too_old(window), flat.times < micros_of(window.start)),
        (FUTURE, flat.times > micros_of(window.end)),
    ]


def _first(flat: Flat, hit: NDArray[np.bool_]) -> Series:
    """Return the series of the first sample that is hit."""
    place = np.searchsorted(np.cumsum(flat.counts), hit.argmax(), side="right")
    return flat.series[int(place)]


def _kept(counts: Sequence[int], fine: NDArray[np.bool_]) -> list[int]:
    """Return how many samples of each series are fine."""
    before = np.concatenate(([0], np.cumsum(fine)))
    ends = np.cumsum(counts)
    kept: list[int] = np.diff(before[np.concatenate(([0], ends))]).tolist()
    return kept
