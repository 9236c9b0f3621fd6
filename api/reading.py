"""Reads a question's columns: which tier tells each aggregate, and in portions that stay small."""

import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from api import grid as grids
from api import question
from api.columns import Columns, empty, place
from api.question import COMPONENT, Question
from api.times import duration_text
from db import history
from db.grid import Grid
from db.history import About, Family, Reading, Selected, Selector, Tier
from db.queries import Connection
from vigia.model import InvalidError, Kind

SERIES_MAX = 1000
VALUES_MAX = 10_000
BUCKETS_PER_QUERY = 20_000
"""Read in portions: a long read holds the embedded engine's only session, and our event loop."""
COVERAGE = "count"
SKETCH_BUCKETS = 100
"""In so many buckets of a sketch the values of a distribution lie: from one to seven times it."""


class Member(Struct, frozen=True):
    """One line of the answer: a series, or several of one metric put together."""

    metric: str
    component: str | None
    labels: dict[str, str]
    series: Sequence[Selected]


class Source(Struct, frozen=True):
    """A tier, and the aggregates that it is read for."""

    tier: Tier
    family: Family
    aggregates: Sequence[str]


async def find(connection: Connection, asked: Question, series_max: int = SERIES_MAX) -> About:
    """Return the series a question is about. Raises InvalidError when they are too many."""
    selectors = [*asked.selectors, *await _match(connection, asked)]
    about = await history.about(
        connection, asked.metrics, asked.component, selectors, series_max + 1
    )
    if len(about.series) > series_max:
        raise InvalidError(
            f"more than {series_max} series fit; name a component or labels to choose among them"
        )
    return about


async def _match(connection: Connection, asked: Question) -> list[Selector]:
    """Hold patterns against the values that there are; no more of them than can be matched."""
    left_s = question.MATCHING_S
    matched = []
    for pattern in asked.patterns:
        values = await history.label_values(
            connection, asked.metrics, asked.component, pattern.label, VALUES_MAX + 1
        )
        if len(values) > VALUES_MAX:
            raise InvalidError(
                f"label.{pattern.label:.40} has more than {VALUES_MAX} values to hold a pattern "
                "against; name a component"
            )
        began = time.thread_time()
        matched.append(pattern.select(values, began + left_s))
        left_s -= time.thread_time() - began
    return matched


def grid_of(asked: Question, about: About) -> Grid:
    """Return the buckets a question is for; `auto` takes those for which there still are rows."""
    if asked.step_s is not None:
        return grids.make(asked.start, asked.end, asked.step_s, asked.zone)
    kept = [t for t in about.tiers if t.family is Family.METRICS and t.has(asked.start)]
    # Where even the coarsest tier ends later than the start, it is still the one with the most.
    finest_s = min((max(t.width_s, 1) for t in kept), default=grids.DAY_S)
    return grids.auto(asked.start, asked.end, asked.points, finest_s, asked.zone)


def members(asked: Question, series: Sequence[Selected]) -> list[Member]:
    """Return the lines of the answer, in the order of their names."""
    if asked.group_by is None:
        return [Member(one.metric, one.component, one.labels, [one]) for one in series]
    groups: dict[tuple[str, ...], list[Selected]] = {}
    for one in series:
        parts = (_label(one, label) for label in asked.group_by)
        groups.setdefault((one.metric, *parts), []).append(one)
    return [_group(asked.group_by, key, some) for key, some in sorted(groups.items())]


def _label(one: Selected, label: str) -> str:
    return one.component if label == COMPONENT else one.labels.get(label, "")


def _group(labels: Sequence[str], key: tuple[str, ...], series: Sequence[Selected]) -> Member:
    """Name a group after its labels; its component is said where all have the same."""
    components = {one.component for one in series}
    named = dict(zip(labels, key[1:], strict=True))
    return Member(
        metric=key[0],
        component=components.pop() if len(components) == 1 else None,
        labels={name: value for name, value in named.items() if value and name != COMPONENT},
        series=series,
    )


def sources(about: About, grid: Grid, aggregates: Sequence[str]) -> list[Source]:
    """Return what is read for a question. Raises InvalidError for what is not kept any more."""
    folded = [name for name in aggregates if name in history.FOLDED_AGGREGATES]
    percentiles = [name for name in aggregates if name in history.PERCENTILE_AGGREGATES]
    main = about.tier(Family.METRICS, grid)
    found = [Source(main, Family.METRICS, list(dict.fromkeys([COVERAGE, *folded])))]
    if percentiles:
        family = _family(about, Kind.DISTRIBUTION, Family.DISTRIBUTIONS)
        found.append(Source(_whole(about, family, grid, percentiles), family, percentiles))
    if "rate" in aggregates:
        family = _family(about, Kind.COUNTER, Family.COUNTERS)
        tier = _whole(about, family, grid, ["rate"])
        found.append(Source(tier, Family.COUNTERS, ["rate"]))
    return found


def _family(about: About, kind: Kind, family: Family) -> Family:
    """Return the family of roll-ups of a kind; where others are among them, that of samples."""
    return family if all(one.kind is kind for one in about.series) else Family.METRICS


def _whole(about: About, family: Family, grid: Grid, aggregates: Sequence[str]) -> Tier:
    """Return a tier for what no roll-up of plain samples tells, as long as it is kept."""
    tier = about.tier(family, grid) if family is not Family.METRICS else about.samples
    if not tier.has(grid.start) and not tier.width_s:
        raise InvalidError(
            f"{', '.join(aggregates)} of this step needs samples, which are kept from "
            f"{tier.kept_from:%Y-%m-%dT%H:%MZ} on; percentiles of kind distribution and rates of "
            "kind counter are there for any time at steps of 5m and more"
        )
    return tier


def check(asked: Question, about: About, grid: Grid, lines: int, interval_s: float) -> None:
    """Refuse a question whose answer is too large, or read from too much; name a step that fits."""
    problem = _excess(asked, about, grid, lines, interval_s)
    if not problem:
        return
    for step_s in (step_s for step_s in grids.STEPS_S if step_s > grid.step_s):
        with suppress(InvalidError):
            wider = grids.make(asked.start, asked.end, step_s, asked.zone)
            if not _excess(asked, about, wider, lines, interval_s):
                advice = f"the nearest step that fits is {duration_text(step_s)}"
                break
    else:
        advice = "ask for a shorter range, fewer series or fewer aggregates"
    raise InvalidError(f"{problem}; {advice}")


def _excess(asked: Question, about: About, grid: Grid, lines: int, interval_s: float) -> str:
    """Say which limit is broken, if any, by the buckets asked for and those to compare with."""
    earlier = [grids.back(grid, seconds, asked.zone) for seconds in asked.compare.values()]
    rows = sum(
        one.seconds * _rows_per_s(source, interval_s)
        for one in (grid, *earlier)
        for source in sources(about, one, asked.aggregates)
    )
    values = grid.points * lines * len(asked.aggregates) * (1 + len(earlier))
    return grids.excess(grid.points, values, rows * len(about.series))


def _rows_per_s(source: Source, interval_s: float) -> float:
    """Return how many rows a tier has of a series, of samples that come at an interval."""
    width_s = source.tier.width_s or interval_s
    if source.family is not Family.DISTRIBUTIONS:
        return 1 / width_s
    return max(1, min(width_s / interval_s, SKETCH_BUCKETS)) / width_s


async def read(
    connection: Connection, lines: Sequence[Member], grid: Grid, found: Sequence[Source]
) -> list[Columns]:
    """Return the columns of each line, the number of samples among them."""
    names = list(dict.fromkeys(name for source in found for name in source.aggregates))
    tables = [empty(grid.points, names) for _ in lines]
    portion = max(1, BUCKETS_PER_QUERY // grid.points)
    for first in range(0, len(lines), portion):
        some = range(first, min(first + portion, len(lines)))
        for source in found:
            await _read_source(
                connection, source, grid, [lines[i].series for i in some], tables[first:]
            )
    return tables


async def _read_source(
    connection: Connection,
    source: Source,
    grid: Grid,
    lines: Sequence[Sequence[Selected]],
    tables: Sequence[Columns],
) -> None:
    ids = [one.id for series in lines for one in series]
    if all(len(series) == 1 for series in lines):
        groups, by_who = None, dict(zip(ids, tables, strict=False))
    else:
        groups = [number for number, series in enumerate(lines) for _ in series]
        by_who = dict(enumerate(tables[: len(lines)]))
    reading = Reading(source.tier, grid, ids, groups)
    if source.family is Family.COUNTERS:
        rows = await history.rates(connection, reading)
    elif source.family is Family.DISTRIBUTIONS:
        rows = await history.percentiles(connection, reading, source.aggregates)
    else:
        rows = await history.fold(connection, reading, source.aggregates)
    place(by_who, rows, source.aggregates)


def tier_name(found: Sequence[Source]) -> str:
    """Return the name of the finest tier that is read."""
    return min((source.tier for source in found), key=lambda tier: tier.width_s).name
