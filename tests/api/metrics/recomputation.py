"""Every aggregate recomputed by numpy from the samples, bucket by bucket."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from history.grid import Grid

Samples = Mapping[float, float]
"""Values by epoch seconds, of one series."""
Column = list[float | None]

RANKS = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
SKETCH_ERROR = 0.01
TOGETHER: Mapping[str, Callable[[Any], Any]] = {
    "avg": lambda v: math.fsum(v) / len(v),
    "min": np.min,
    "max": np.max,
    "sum": math.fsum,
    "count": len,
    "first": lambda v: v[0],
    "last": lambda v: v[-1],
    "stddev": np.std,
}


def column(name: str, series: Sequence[Samples], grid: Grid) -> Column:
    """Return one aggregate of one series, or of several taken together, in each bucket."""
    if name == "rate":
        rates = [_rates(one, grid) for one in series]
        return [_sum(values) for values in zip(*rates, strict=True)]
    if name in RANKS:
        return [
            float(np.percentile(v, RANKS[name], method="linear")) if v else None
            for v in buckets(series, grid)
        ]
    return [float(TOGETHER[name](v)) if v else None for v in buckets(series, grid)]


def buckets(series: Sequence[Samples], grid: Grid) -> list[list[float]]:
    """Return the values in each bucket, oldest first."""
    found: list[list[float]] = [[] for _ in grid.times]
    for samples in series:
        times = sorted(t for t in samples if grid.edges[0] <= t < grid.edges[-1])
        slots = np.searchsorted(np.asarray(grid.edges), times, side="right") - 1
        for slot, time in zip(slots, times, strict=True):
            found[slot].append(samples[time])
    return found


def _rates(samples: Samples, grid: Grid) -> Column:
    """Return the increase per second: a pair of samples counts in the bucket of its later one.

    It counts if the earlier one lies in the same bucket or in the one right before. A value that is
    smaller than the one before has been counted up from zero.
    """
    edges = [grid.before, *grid.edges]
    moved = [[0.0, 0.0] for _ in edges]
    times = sorted(t for t in samples if edges[0] <= t < edges[-1])
    slots = np.searchsorted(np.asarray(edges), times, side="right") - 1
    for (before, i), (time, k) in pairwise(zip(times, slots, strict=True)):
        if k - i <= 1:
            fell = samples[time] < samples[before]
            moved[k][0] += samples[time] - (0.0 if fell else samples[before])
            moved[k][1] += time - before
    return [
        increase / seconds if seconds else None for increase, seconds in moved[1 : len(grid.edges)]
    ]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def differences(
    name: str, found: Sequence[Any], series: Sequence[Samples], grid: Grid, *, sketch: bool = False
) -> list[Any]:
    """Return (bucket, found, wanted) wherever an answer is not what it must be."""
    wanted = column(name, series, grid)
    assert len(found) == len(wanted)
    allowed = _allowed(name, series, grid, wanted, sketch=sketch)
    return [
        (i, a, b)
        for i, (a, b, tolerance) in enumerate(zip(found, wanted, allowed, strict=True))
        if (a is None) != (b is None) or (b is not None and not abs(a - b) <= tolerance)
    ]


def _allowed(
    name: str, series: Sequence[Samples], grid: Grid, wanted: Column, *, sketch: bool
) -> list[float]:
    """Return how far each bucket may be off: what adding up in another order changes.

    And, of a percentile from a sketch, 1 % of the values between which it lies: so 1 % of itself,
    unless one of the two is negative and the other positive.
    """
    values = buckets(series, grid)
    if name in RANKS and sketch:
        return [_of_sketch(np.sort(v), RANKS[name] / 100) if v else 0.0 for v in values]
    if name == "stddev":
        return [1e-6 * (w or 0) + 1e-15 * _largest(v) for w, v in zip(wanted, values, strict=True)]
    if name == "rate":
        most = sum(_largest(tuple(one.values())) for one in series)
        return [1e-9 * abs(w or 0) + 1e-11 * most for w in wanted]
    return [1e-12 * math.fsum(map(abs, v)) for v in values]


def _largest(values: Sequence[float]) -> float:
    return max(map(abs, values), default=0.0)


def _of_sketch(ordered: Any, share: float) -> float:
    rank = share * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    if low * high < 0:
        return SKETCH_ERROR * max(abs(low), abs(high))
    return SKETCH_ERROR * abs(low + (rank - math.floor(rank)) * (high - low)) + 1e-150
