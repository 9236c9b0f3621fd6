"""The parsed form of an ingest request: columns to store, and why other samples are rejected."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from model.limits import VALUE_MAX
from model.series import Column, Histogram, Series
from model.times import micros_of
from samples.write_batch import WriteBatch

REASONS_MAX = 20
SENTENCE_REASONS_MAX = 5


class AcceptedTimes(Struct, frozen=True):
    """The times for which samples are accepted."""

    start: datetime
    end: datetime


class Reason(Struct, frozen=True):
    """Why samples were rejected, and how many of them."""

    reason: str
    count: int


class Fault(Struct, frozen=True):
    """Why a sample is rejected: a word for a counter, and a sentence for people."""

    word: str
    sentence: str


STALE_BITS = 0x7FF0_0000_0000_0002
"""The NaN with which Prometheus marks the end of a series."""

STALE = Fault("stale", "a marker of the end of a series")
NAN = Fault("nan", "a value is not a number")
NO_VALUE = Fault("no_recorded_value", "a data point is marked as having no value")
MARKERS = {STALE, NAN, NO_VALUE}
"""Values with which senders deliberately say that there is no value."""
INFINITE = Fault("infinite", "a value is infinite")
TOO_LARGE = Fault("too_large", f"a value is larger than {VALUE_MAX:g}")
FUTURE = Fault("future", "a time is more than 10 minutes in the future")


class FaultError(Exception):
    """One series or point is rejected; the others of its request are stored."""

    def __init__(self, fault: Fault, metric: str = "") -> None:
        super().__init__(fault.sentence)
        self.fault = fault
        self.metric = metric


class ParsedWrite(Struct):
    """The storable part of a request, and counts of the samples or data points that are not.

    `rejected` samples are reported to the sender. `skipped` ones are not: markers without a value,
    and samples that are valid in the protocol but cannot be stored. `examples` names one metric for
    each fault.
    """

    columns: list[Column] = field(default_factory=list)
    histograms: list[Histogram] = field(default_factory=list)
    rejected: Counter[Fault] = field(default_factory=Counter)
    skipped: Counter[Fault] = field(default_factory=Counter)
    examples: dict[Fault, str] = field(default_factory=dict)
    is_import: bool = False
    """Whether the samples were measured before and elsewhere, so that they are no sign of life."""

    def reject(self, fault: Fault, count: int = 1, metric: str = "") -> None:
        """Count rejected samples."""
        if count:
            self.rejected[fault] += count
            if metric:
                self.examples.setdefault(fault, metric)

    def skip(self, *faults: Fault) -> None:
        """Move samples rejected for these faults to `skipped`."""
        for fault in faults:
            count = self.rejected.pop(fault, 0)
            if count:
                self.skipped[fault] += count

    def write_batch(self) -> WriteBatch:
        """Return the samples to store."""
        return WriteBatch(self.columns, self.histograms)

    def reasons(self, most: int = REASONS_MAX) -> list[Reason]:
        """Return the most common reasons for rejections, and the sum of all other reasons."""
        common = self.rejected.most_common(most)
        rest = self.rejected.total() - sum(count for _, count in common)
        found = [Reason(fault.sentence, count) for fault, count in common]
        return [*found, Reason("other reasons", rest)] if rest else found

    def sentence(self) -> str:
        """Return a text with the number of rejected samples by reason."""
        found = self.reasons(SENTENCE_REASONS_MAX)
        return "; ".join(f"{each.count}: {each.reason}" for each in found)


class FlatSamples(Struct):
    """Samples of several series in flat arrays, series by series; `counts` has one for each."""

    series: Sequence[Series]
    counts: Sequence[int]
    times: NDArray[np.int64]
    values: NDArray[np.float64]


Found = tuple[Fault, NDArray[np.bool_]]
"""A fault, and which samples have it."""


def take(
    samples: FlatSamples, accepted: AcceptedTimes, parsed: ParsedWrite, own: Sequence[Found] = ()
) -> NDArray[np.bool_]:
    """Check every sample, first for faults of the protocol (`own`); add valid ones to `parsed`.

    Returns a mask of the valid samples.
    """
    fine = np.ones(len(samples.times), bool)
    for fault, bad in [*own, *_faults(samples, accepted)]:
        hit = bad & fine
        if hit.any():
            parsed.reject(fault, int(np.count_nonzero(hit)), _first(samples, hit).metric)
            fine &= ~bad
    parsed.skip(STALE)
    times, values = samples.times[fine], samples.values[fine]
    counts = samples.counts if fine.all() else _kept(samples.counts, fine)
    start = 0
    for series, end in zip(samples.series, itertools.accumulate(counts), strict=True):
        if end > start:
            parsed.columns.append(Column(series, times[start:end], values[start:end]))
        start = end
    return fine


def too_old(accepted: AcceptedTimes) -> Fault:
    """Return the fault of samples before the accepted times."""
    return Fault(
        "too_old", f"a time is before {accepted.start:%Y-%m-%dT%H:%M:%SZ}, which is no longer kept"
    )


def time_fault(micros: int, accepted: AcceptedTimes) -> Fault | None:
    """Return the fault of a time in microseconds; None if it is accepted."""
    if micros < micros_of(accepted.start):
        return too_old(accepted)
    return FUTURE if micros > micros_of(accepted.end) else None


def _faults(samples: FlatSamples, accepted: AcceptedTimes) -> list[Found]:
    return [
        (STALE, samples.values.view(np.uint64) == STALE_BITS),
        (NAN, np.isnan(samples.values)),
        (INFINITE, np.isinf(samples.values)),
        (TOO_LARGE, np.abs(samples.values) > VALUE_MAX),
        (too_old(accepted), samples.times < micros_of(accepted.start)),
        (FUTURE, samples.times > micros_of(accepted.end)),
    ]


def _first(samples: FlatSamples, hit: NDArray[np.bool_]) -> Series:
    """Return the series of the first sample in a mask."""
    place = np.searchsorted(np.cumsum(samples.counts), hit.argmax(), side="right")
    return samples.series[int(place)]


def _kept(counts: Sequence[int], fine: NDArray[np.bool_]) -> list[int]:
    """Return the number of valid samples of each series."""
    before = np.concatenate(([0], np.cumsum(fine)))
    ends = np.cumsum(counts)
    kept: list[int] = np.diff(before[np.concatenate(([0], ends))]).tolist()
    return kept
