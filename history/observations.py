"""Aggregates of histograms, over the values that the sender observed.

A histogram has no samples. Its sender reports the count and the sum beside the buckets, and Vigia
stores each as a series of its own, a part (docs/reference/history.md). An average is computed from
the two, never from averages.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from history.columns import Column, Columns, Number
from history.reader import Family, Part, Selected, SeriesAndTiers
from model.errors import InvalidError
from model.series import Kind

SAMPLES = "count"
"""Column of the number of samples that were read."""
SEEN = "seen"
"""Column of the number of points received, which differs from the count of observations."""
EXTREMES = ("min", "max")
MADE_OF = {"count": ("count",), "sum": ("sum",), "avg": ("count", "sum")}
"""The parts from which each aggregate is computed."""
UNKNOWN = ("first", "last", "stddev", "rate")


class Wanted(Struct, frozen=True):
    """Columns to read from parts of histograms, or, without `what`, from the histograms."""

    family: Family
    aggregates: Sequence[str]
    what: str = ""
    kind: Kind | None = None

    def ids(self, one: Selected) -> list[int]:
        """Return the ids of the series to read for a selected one."""
        return [part.id for part in one.parts if self._is_read(part)] if self.what else [one.id]

    def column(self, aggregate: str) -> str:
        """Return the temporary column name of an aggregate, until `combine`."""
        return f"{self.what} {self.kind} {aggregate}"

    def _is_read(self, part: Part) -> bool:
        return part.what == self.what and self.kind in {None, part.kind}


COUNTED = {Kind.COUNTER: (Family.COUNTERS, "increase"), Kind.GAUGE: (Family.METRICS, "sum")}
"""How a part is summed in a bucket: a running total by its increase, a delta by its sum."""
POINTS = Wanted(Family.METRICS, ["count"], "count")
ENDS = Wanted(Family.DISTRIBUTIONS, EXTREMES)


def wanted(available: SeriesAndTiers, aggregates: Iterable[str]) -> Iterator[Wanted]:
    """Yield what to read in addition to samples, if there are histograms among the series."""
    kinds = {part.kind for one in available.series for part in one.parts}
    query = set(aggregates)
    if not kinds or query.isdisjoint({*MADE_OF, *EXTREMES}):
        return
    yield POINTS
    for what in ("count", "sum"):
        if any(what in MADE_OF.get(name, ()) for name in query):
            for kind in sorted(kinds):
                family, aggregate = COUNTED[kind]
                yield Wanted(family, [aggregate], what, kind)
    if not query.isdisjoint(EXTREMES):
        yield ENDS


def combine(table: Columns, aggregates: Iterable[str]) -> None:
    """Compute the aggregates of histograms, and write them where a line has no samples."""
    points = table.pop(POINTS.column("count"))
    samples = table[SAMPLES]
    table[SEEN] = [a if a is not None else b for a, b in zip(samples, points, strict=True)]
    found = {what: _observed(table, what) for what in ("count", "sum")}
    found["avg"] = [_ratio(a, b) for a, b in zip(found["sum"], found["count"], strict=True)]
    for name in EXTREMES:
        found[name] = table.pop(ENDS.column(name), [None] * len(samples))
    free = [at for at, count in enumerate(samples) if count is None]
    for name in {*aggregates, SAMPLES} & found.keys():
        table[name] = list(table[name])
        for at in free:
            table[name][at] = found[name][at]


def check(series: Iterable[Selected], table: Columns, aggregates: Iterable[str]) -> None:
    """Raise InvalidError for aggregates that a histogram does not have, with the alternatives."""
    names = [name for name in aggregates if name in UNKNOWN]
    histogram = next((one for one in series if one.parts), None)
    if names and histogram and all(set(table[name]) == {None} for name in names):
        metric = histogram.metric
        raise InvalidError(
            f"{metric} is a histogram: it has avg, count, max, min, sum and percentiles, "
            f"but no {', '.join(names)}; query {metric}_count for the rate of its observations"
        )


def _observed(table: Columns, what: str) -> Column:
    """Return the count or the sum of observations, from running totals and from deltas."""
    columns = [
        found
        for kind, (_, aggregate) in COUNTED.items()
        if (found := table.pop(f"{what} {kind} {aggregate}", None))
    ]
    return [_sum(values) for values in zip(*columns, strict=True)] or [None] * len(table[SAMPLES])


def _sum(values: Iterable[Number]) -> Number:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _ratio(total: Number, count: Number) -> Number:
    return total / count if total is not None and count else None
