"""Histograms of other protocols as counts by log bucket, which is how distributions are stored."""

import math
from collections.abc import Collection

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from api.ingest.admission.parsed_write import TOO_LARGE, Fault, FaultError
from model.limits import VALUE_MAX

LOG_GAMMA = math.log(1.02)
MIDDLE = 18_000
TINY = 1e-150
PLACES_MAX = 16
"""Places at which the values of one wide bucket are supposed to be."""
BUCKETS_MAX = 1_000
TOTAL_MAX = 2**53
"""Of a running total: what a double still counts one by one."""
COUNT_MAX = 2**40
"""Of one bucket and time: a sum of larger ones over a day could be beyond a bigint."""
SCALE_MAX = 64
OFFSET_MAX = 2**31
EXPONENT_MAX = 1023
ORIGIN = 2**40
"""The key of index 0 of an exponential histogram; negative values mirror it, and 0 is zero."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MANY = Fault("histogram", f"a histogram has more than {BUCKETS_MAX} buckets")
SHAPE = Fault("histogram", "a histogram's bounds do not ascend, or do not fit its counts")
COUNTS = Fault("histogram", "a histogram's counts are too large")
SCALE = Fault("histogram", "a histogram's scale or offset is beyond all values")


class Buckets(Struct, frozen=True, eq=False):
    """The buckets of a histogram that hold anything, in the order of their values.

    `keys` are positions among the `bounds`, or stand for indices of an exponential histogram.
    """

    keys: Ints
    counts: Ints
    bounds: Floats | None = None
    scale: int = 0

    def ranges(self, low: float, high: float) -> tuple[Floats, Floats]:
        """Return where each bucket begins and ends; no value is below `low` or above `high`."""
        if self.bounds is None:
            begins, ends = self._exponential_ranges()
        else:
            # Without a minimum, positive bounds mean positive values; the last bucket has no width.
            first = -math.inf if math.isfinite(low) else min(self.bounds[0], 0.0)
            last = math.inf if math.isfinite(high) else self.bounds[-1]
            edges = np.concatenate(([first], self.bounds, [last]))
            begins, ends = edges[self.keys], edges[self.keys + 1]
        return np.clip(begins, low, high), np.clip(ends, low, high)

    def _exponential_ranges(self) -> tuple[Floats, Floats]:
        indices = np.abs(self.keys) - ORIGIN
        step = math.ldexp(1.0, -self.scale)
        signs = np.sign(self.keys)
        inner = signs * np.exp2(np.clip(indices * step, -EXPONENT_MAX, EXPONENT_MAX))
        outer = signs * np.exp2(np.clip((indices + 1) * step, -EXPONENT_MAX, EXPONENT_MAX))
        return np.minimum(inner, outer), np.maximum(inner, outer)

    def coarser(self, scale: int) -> "Buckets":
        """Return the same values in exponential buckets of a smaller scale."""
        indices = (np.abs(self.keys) - ORIGIN) >> min(self.scale - scale, 63)
        keys = np.sign(self.keys) * (indices + ORIGIN)
        return Buckets(*_sums(keys, self.counts), scale=scale)

    def since(self, before: "Buckets") -> "Buckets | None":
        """Return what came on top of an earlier total; None when it is no earlier one of these."""
        if self.bounds is not None or before.bounds is not None:
            if not np.array_equal(_bounds(self), _bounds(before)):
                return None
        elif before.scale < self.scale:
            return None
        elif before.scale > self.scale:
            before = before.coarser(self.scale)
        where = np.searchsorted(self.keys, before.keys)
        known = np.append(self.keys, -1)[where] == before.keys
        counts = self.counts.copy()
        counts[where[known]] -= before.counts[known]
        if not known.all() or (counts < 0).any():
            return None
        return Buckets(self.keys[counts > 0], counts[counts > 0], self.bounds, self.scale)


def explicit(bounds: Collection[float], counts: Collection[int]) -> Buckets | None:
    """Return buckets with given bounds; None when it has but one. Raises FaultError."""
    if len(counts) > BUCKETS_MAX:
        raise FaultError(MANY)
    if not bounds:
        return None
    edges = np.fromiter(bounds, np.float64, len(bounds))
    ascends = np.isfinite(edges).all() and (edges[1:] > edges[:-1]).all()
    if len(counts) != len(bounds) + 1 or not ascends:
        raise FaultError(SHAPE)
    keys, some = _filled(np.arange(len(counts)), counts)
    return Buckets(keys, some, edges)


def exponential(
    scale: int,
    zeros: int,
    positive: tuple[int, Collection[int]],
    negative: tuple[int, Collection[int]],
) -> Buckets:
    """Return buckets whose bounds are powers of 2^(2^-scale); each side has an offset."""
    if abs(scale) > SCALE_MAX or max(abs(positive[0]), abs(negative[0])) > OFFSET_MAX:
        raise FaultError(SCALE)
    if len(positive[1]) + len(negative[1]) > BUCKETS_MAX:
        raise FaultError(MANY)
    up = np.arange(len(positive[1])) + positive[0] + ORIGIN
    down = np.arange(len(negative[1])) + negative[0] + ORIGIN
    keys = np.concatenate((-down[::-1], [0], up))
    keys, counts = _filled(keys, [*reversed(list(negative[1])), zeros, *positive[1]])
    return Buckets(keys, counts, scale=scale)


def spread(
    buckets: Buckets, low: float = -math.inf, high: float = math.inf
) -> tuple[NDArray[np.int32], Ints]:
    """Return log buckets and their counts. Raises FaultError.

    The values of a bucket are supposed to lie evenly between its ends, as for any quantile of a
    histogram: at as many places as there are log buckets or values, but at most PLACES_MAX.
    """
    begins, ends = buckets.ranges(low, high)
    if len(begins) and max(-begins.min(), ends.max()) > VALUE_MAX:
        raise FaultError(TOO_LARGE)
    if (buckets.counts > COUNT_MAX).any():
        raise FaultError(COUNTS)
    width = log_bucket(ends) - log_bucket(begins)
    places = np.clip(np.minimum(buckets.counts, width), 1, PLACES_MAX)
    which = np.repeat(np.arange(len(places)), places)
    place = np.arange(len(which)) - np.repeat(np.cumsum(places) - places, places)
    places, counts = places[which], buckets.counts[which]
    values = begins[which] + (ends - begins)[which] * ((place + 0.5) / places)
    shares = (place + 1) * counts // places - place * counts // places
    numbers, sums = _sums(log_bucket(values).astype(np.int64), shares)
    return numbers.astype(np.int32), sums


def log_bucket(values: Floats) -> NDArray[np.int32]:
    """Return the numbers of the log buckets of values, as the database's `log_bucket` does."""
    sizes = np.abs(values)
    numbers = MIDDLE + np.ceil(np.log(np.maximum(sizes, TINY)) / LOG_GAMMA)
    return np.where(sizes < TINY, 0, np.sign(values) * numbers).astype(np.int32)


def _sums(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    distinct, where = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, where, counts)
    return distinct, sums


def _filled(keys: Ints, counts: Collection[int]) -> tuple[Ints, Ints]:
    if not all(0 <= count <= TOTAL_MAX for count in counts):
        raise FaultError(COUNTS)
    given = np.fromiter(counts, np.int64, len(counts))
    some = given > 0
    return keys[some], given[some]


def _bounds(buckets: Buckets) -> Floats:
    return np.empty(0) if buckets.bounds is None else buckets.bounds
