"""Combines series into exposition families whose samples have several names.

These are histograms and summaries, and in OpenMetrics also counters with their creation time.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

CACHED_MAX = 100_000
BUCKET, COUNT, SUM, CREATED, COUNTED = "_bucket", "_count", "_sum", "_created", "_total"
HISTOGRAM, SUMMARY, COUNTER = "histogram", "summary", "counter"
LE, QUANTILE = "le", "quantile"

PAIR = re.compile(r'([a-zA-Z0-9_]+)="((?:[^"\\]|\\.)*)"', re.ASCII)
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|[iI]nf)", re.ASCII)
GO_EXPONENT_FROM = 1e6
"""From here on Go writes floats with an exponent; OpenMetrics demands Go's notation for bounds."""


class Point(NamedTuple):
    """The newest value of one series; `labels` is the text that `labels_text` returns.

    Without a time, the scraper assigns the time of the scrape.
    """

    metric: str
    labels: str
    value: float
    time_ms: int | None = None
    counts: bool = False
    unit: str = ""
    help: str = ""


Family = dict[str, Point]
"""The points of one name, by their labels."""


class Sample(NamedTuple):
    """A point with its sample name, and its labels as written in one of the formats."""

    name: str
    labels: str
    point: Point


class Bounded(NamedTuple):
    """A point with the number in its `le` or `quantile` label, and its other labels."""

    number: float
    labels: str
    point: Point


class Compound(Struct, frozen=True):
    """A family of several sample names, which are `members`."""

    name: str
    type: str
    members: frozenset[str]
    samples: list[Sample]

    @property
    def described(self) -> list[Point]:
        """The points from which the unit and the name in Vigia are taken."""
        ending = COUNTED if self.type == COUNTER else SUM
        return [
            point._replace(metric=point.metric.removesuffix(ending))
            for name, _, point in self.samples
            if name == self.name + ending
        ]


def compounds(families: Mapping[str, Family], *, is_open: bool) -> Iterator[Compound]:
    """Yield every complete family of several names; `is_open` selects OpenMetrics.

    Series of an incomplete family keep their own names and get no type: parsers reject a whole
    exposition if the count of a histogram differs from its last bucket.
    """
    for count in families:
        name = count.removesuffix(COUNT)
        if name == count or name + SUM not in families:
            continue
        is_histogram = name + BUCKET in families
        reserved = {name} if is_histogram else set()
        reserved |= {name + COUNTED} | others_of(name + CREATED) if is_open else set()
        if reserved.isdisjoint(families):
            make = _histogram if is_histogram else _summary
            groups = _groups(name, families, name + BUCKET if is_histogram else name)
            if groups and is_open:
                groups = _with_created(groups, families.get(name + CREATED, {}))
            samples = make(name, groups, is_open=is_open) if groups else None
            if samples:
                yield _compound(name, HISTOGRAM if is_histogram else SUMMARY, samples)
    if is_open:
        yield from _counters(families)


def others_of(created: str) -> set[str]:
    """Return names whose presence shows that `created` is a counter or summary of its own."""
    return {created + COUNTED, created + COUNT}


def _compound(name: str, type_: str, samples: list[Sample]) -> Compound:
    return Compound(name, type_, frozenset(sample.name for sample in samples), samples)


def _counters(families: Mapping[str, Family]) -> Iterator[Compound]:
    """Yield every counter with a creation time. Other counters have only one name."""
    for created, times in families.items():
        name = created.removesuffix(CREATED)
        counted = families.get(name + COUNTED, {})
        is_fine = (
            counted
            and ({name} | others_of(created)).isdisjoint(families)
            and all(point.counts and point.value >= 0 for point in counted.values())
            and _are_created(times, counted)
        )
        if is_fine:
            yield _compound(name, COUNTER, list(_counted(name, counted, times)))


def _counted(name: str, counted: Family, created: Family) -> Iterator[Sample]:
    for labels, point in counted.items():
        yield Sample(name + COUNTED, labels, point)
        if labels in created:
            yield Sample(name + CREATED, labels, created[labels])


class _Group(NamedTuple):
    """The points of a histogram or summary with the same labels."""

    labels: str
    bounded: list[Bounded]
    total: Point
    observations: Point
    created: Point | None = None

    @property
    def points(self) -> list[Point]:
        return [*(each.point for each in self.bounded), self.total, self.observations]


def _groups(name: str, families: Mapping[str, Family], bounded: str) -> list[_Group] | None:
    """Return the points grouped by labels; None if some points belong to no group."""
    sums, counts = families[name + SUM], families[name + COUNT]
    label = LE if bounded.endswith(BUCKET) else QUANTILE
    by_labels: dict[str, list[Bounded]] = {labels: [] for labels in counts}
    for point in families.get(bounded, {}).values():
        labels, text = _split(point.labels, label)
        if labels not in by_labels or not NUMBER.fullmatch(text):
            return None
        by_labels[labels].append(Bounded(float(text), labels, point))
    if sums.keys() != counts.keys():
        return None
    groups = [
        _Group(labels, sorted(some), sums[labels], counts[labels])
        for labels, some in by_labels.items()
    ]
    return groups if all(map(_is_whole, groups)) else None


def _with_created(groups: Iterable[_Group], created: Family) -> list[_Group] | None:
    """Return the groups with their creation times; None if some times belong to no group."""
    counts = {group.labels: group.observations for group in groups}
    if not _are_created(created, counts):
        return None
    return [group._replace(created=created.get(group.labels)) for group in groups]


def _are_created(created: Family, points: Family) -> bool:
    """Return whether each creation time belongs to a point with the same labels and time."""
    return all(
        not one.counts
        and one.value >= 0
        and labels in points
        # OpenMetrics demands that the times within one group of labels never decrease.
        and one.time_ms == points[labels].time_ms
        for labels, one in created.items()
    )


def _is_whole(group: _Group) -> bool:
    totals = (group.total, group.observations)
    times = {point.time_ms for point in group.points}
    return (
        all(point.counts and point.value >= 0 for point in totals)
        and group.observations.value.is_integer()
        and (len(times) == 1 or None not in times)
    )


def _histogram(name: str, groups: Iterable[_Group], *, is_open: bool) -> list[Sample] | None:
    samples = []
    for group in groups:
        numbers = [each.number for each in group.bounded]
        values = [each.point.value for each in group.bounded]
        is_fine = (
            numbers
            and len(set(numbers)) == len(numbers)
            and numbers[-1] == math.inf
            and values == sorted(values)
            and values[0] >= 0
            and values[-1] == group.observations.value
            and all(value.is_integer() for value in values)
            and all(each.point.counts for each in group.bounded)
            and len({point.time_ms for point in group.points}) == 1
        )
        if not is_fine:
            return None
        samples += [_sample(name + BUCKET, each, LE, is_open=is_open) for each in group.bounded]
        samples += _totals(name, group)
    return samples


def _summary(name: str, groups: Iterable[_Group], *, is_open: bool) -> list[Sample] | None:
    samples = []
    for group in groups:
        numbers = [each.number for each in group.bounded]
        if len(set(numbers)) < len(numbers) or not all(0 <= number <= 1 for number in numbers):
            return None
        if any(each.point.counts or each.point.value < 0 for each in group.bounded):
            return None
        some = [_sample(name, each, QUANTILE, is_open=is_open) for each in group.bounded]
        # A quantile without new observations keeps its old time. Times must not decrease.
        both = [*some, *_totals(name, group)]
        samples += sorted(both, key=lambda sample: sample.point.time_ms or 0)
    return samples


def _sample(name: str, bounded: Bounded, label: str, *, is_open: bool) -> Sample:
    labels = bounded.point.labels
    if is_open:
        rest = f"{bounded.labels[1:-1]}," if bounded.labels else ""
        labels = f'{{{rest}{label}="{number_text(bounded.number)}"}}'
    return Sample(name, labels, bounded.point)


def _totals(name: str, group: _Group) -> list[Sample]:
    totals = [
        Sample(name + SUM, group.labels, group.total),
        Sample(name + COUNT, group.labels, group.observations),
    ]
    if group.created:
        totals.append(Sample(name + CREATED, group.labels, group.created))
    return totals


def number_text(number: float) -> str:
    """Return a bound in the notation that OpenMetrics demands, which is Go's for floats."""
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    text = repr(number)
    if abs(number) < GO_EXPONENT_FROM or "e" in text:
        return text
    return next(text for n in range(18) if float(text := f"{number:.{n}e}") == number)


@lru_cache(CACHED_MAX)
def _split(labels: str, name: str) -> tuple[str, str]:
    """Return the text of labels without one label, and the value of that label."""
    pairs = PAIR.findall(labels)
    rest = [f'{key}="{value}"' for key, value in pairs if key != name]
    value = next((value for key, value in pairs if key == name), "")
    return "{" + ",".join(rest) + "}" if rest else "", value
