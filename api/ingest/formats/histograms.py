"""Converts histograms of other protocols to counts by log bucket, the form of distributions.

A log bucket has bounds that grow by 2 % (DDSketch: Masson, Rim, Lee, VLDB 2019).
"""

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
"""Most places over which the values of one wide bucket are spread."""
BUCKETS_MAX = 1_000
TOTAL_MAX = 2**53
"""The largest count of a running total: a double is exact up to here."""
COUNT_MAX = 2**40
"""The largest count of a bucket at one time. The sum of larger ones could exceed a bigint."""
SCALE_MAX = 64
OFFSET_MAX = 2**31
EXPONENT_MAX = 1023
ORIGIN = 2**40
"""The key of index 0 of an exponential histogram. Negative keys mirror it; key 0 is the value 0."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MANY = Fault("histogram", f"a histogram has more than {BUCKETS_MAX} buckets")
SHAPE = Fault("histogram", "the bounds of a histogram do not ascend, or do not match its counts")
COUNTS = Fault("histogram", "the counts of a histogram are negative or too large")
SCALE = Fault("histogram", "the scale or an offset of a histogram is too large")


class Buckets(Struct, frozen=True, eq=False):
    """The non-empty buckets of a histogram, in the order of their values.

    `keys` are positions in `bounds` or, without bounds, indices of an exponential histogram shifted
    by ORIGIN.
    """

    keys: Ints
    counts: Ints
    bounds: Floats | None = None
    scale: int = 0

    def ranges(self, low: float, high: float) -> tuple[Floats, Floats]:
        """Return the lower and upper bound of each bucket, limited to `low` and `high`."""
        if self.bounds is None:
            begins, ends = self._exponential_ranges()
        else:
            # Without a minimum, positive bounds imply positive values. Without a maximum, the last
            # bucket has no width.
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
        """Return the difference to an earlier total; None if `before` cannot be one of these."""
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
    """Return buckets with explicit bounds; None if there are no bounds. Raises FaultError."""
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
    """Return the buckets of an OTLP exponential histogram. Raises FaultError.

    The bounds are powers of 2^(2^-scale). `positive` and `negative` are each an offset and counts.
    """
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

    The values of a bucket are assumed to lie evenly between its bounds, as in every estimate of a
    quantile from a histogram.

    1. Find the bounds of each bucket.
    2. Choose the number of places in it: as many as it spans log buckets or has values, at most
       PLACES_MAX.
    3. Spread its count evenly over these places.
    4. Sum the counts by log bucket.
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
    """Return the log bucket numbers of values, like the SQL function `log_bucket`."""
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
