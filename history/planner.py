"""Reads a question's columns: which tier tells each aggregate, and in portions that stay small."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from db.queries import Connection
from history import grid as grids
from history import observations
from history import query as history_query
from history import reader as history
from history.columns import Columns, empty, place
from history.grid import Grid
from history.observations import Wanted
from history.query import COMPONENT, HistoryQuery
from history.reader import Family, Selected, Selector, SeriesAndTiers, Tier, TierRead
from model.errors import InvalidError
from model.series import Kind
from model.times import DAY_S, duration_text

SERIES_MAX = 1000
VALUES_MAX = 10_000
BUCKETS_PER_QUERY = 20_000
"""Read in portions: a long read holds the embedded engine's only session, and our event loop."""
COLUMNS_PER_QUERY = 4
"""Where more columns than these are read, the portions are smaller."""
COVERAGE = "count"
SKETCH_BUCKETS = 100
"""In so many buckets of a sketch the values of a distribution lie: from one to seven times it."""


class OutputLine(Struct, frozen=True):
    """One line of the answer: a series, or several of one metric put together."""

    metric: str
    component: str | None
    labels: dict[str, str]
    series: Sequence[Selected]


class TierSource(Struct, frozen=True):
    """A tier, and the aggregates that it is read for; of histograms, what is read instead."""

    tier: Tier
    family: Family
    aggregates: Sequence[str]
    histograms: Wanted | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that it fills."""
        of = self.histograms
        return [of.column(name) if of else name for name in self.aggregates]

    def ids(self, one: Selected) -> list[int]:
        """Return the series that are read for one that is asked for."""
        if self.histograms is None:
            return [one.id]
        return self.histograms.ids(one) if one.parts else []


async def find(
    connection: Connection, query: HistoryQuery, series_max: int = SERIES_MAX
) -> SeriesAndTiers:
    """Return the series a question is about. Raises InvalidError when they are too many."""
    selectors = [*query.selectors, *await _match(connection, query)]
    available = await history.series_and_tiers(
        connection, query.metrics, query.component, selectors, series_max + 1
    )
    if len(available.series) > series_max:
        raise InvalidError(
            f"more than {series_max} series fit; name a component or labels to choose among them"
        )
    return available


async def _match(connection: Connection, query: HistoryQuery) -> list[Selector]:
    """Hold patterns against the values that there are; no more of them than can be matched."""
    left_s = history_query.MATCHING_S
    matched = []
    for pattern in query.patterns:
        values = await history.label_values(
            connection, query.metrics, query.component, pattern.label, VALUES_MAX + 1
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


def grid_of(query: HistoryQuery, available: SeriesAndTiers) -> Grid:
    """Return the buckets a question is for; `auto` takes those for which there still are rows."""
    if query.step_s is not None:
        return grids.make(query.start, query.end, query.step_s, query.zone)
    kept = [t for t in available.tiers if t.family is Family.METRICS and t.has(query.start)]
    # Where even the coarsest tier ends later than the start, it is still the one with the most.
    finest_s = min((max(t.width_s, 1) for t in kept), default=DAY_S)
    return grids.auto(query.start, query.end, query.points, finest_s, query.zone)


def output_lines(query: HistoryQuery, series: Sequence[Selected]) -> list[OutputLine]:
    """Return the lines of the answer, in the order of their names."""
    if query.group_by is None:
        return [OutputLine(one.metric, one.component, one.labels, [one]) for one in series]
    groups: dict[tuple[str, ...], list[Selected]] = {}
    for one in series:
        parts = (_label(one, label) for label in query.group_by)
        groups.setdefault((one.metric, *parts), []).append(one)
    return [_group(query.group_by, key, some) for key, some in sorted(groups.items())]


def _label(one: Selected, label: str) -> str:
    return one.component if label == COMPONENT else one.labels.get(label, "")


def _group(labels: Sequence[str], key: tuple[str, ...], series: Sequence[Selected]) -> OutputLine:
    """Name a group after its labels; its component is said where all have the same."""
    components = {one.component for one in series}
    named = dict(zip(labels, key[1:], strict=True))
    return OutputLine(
        metric=key[0],
        component=components.pop() if len(components) == 1 else None,
        labels={name: value for name, value in named.items() if value and name != COMPONENT},
        series=series,
    )


def tier_sources(
    available: SeriesAndTiers, grid: Grid, aggregates: Sequence[str]
) -> list[TierSource]:
    """Return what is read for a question. Raises InvalidError for what is not kept any more."""
    folded = [name for name in aggregates if name in history.FOLDED_AGGREGATES]
    percentiles = [name for name in aggregates if name in history.PERCENTILE_AGGREGATES]
    main = available.tier(Family.METRICS, grid)
    found = [TierSource(main, Family.METRICS, list(dict.fromkeys([COVERAGE, *folded])))]
    if percentiles:
        family = _family(available, Kind.DISTRIBUTION, Family.DISTRIBUTIONS)
        found.append(TierSource(_whole(available, family, grid, percentiles), family, percentiles))
    if "rate" in aggregates:
        family = _family(available, Kind.COUNTER, Family.COUNTERS)
        tier = _whole(available, family, grid, ["rate"])
        found.append(TierSource(tier, Family.COUNTERS, ["rate"]))
    for more in observations.wanted(available, aggregates):
        tier = (
            main if more.family is Family.METRICS else _whole(available, more.family, grid, folded)
        )
        found.append(TierSource(tier, more.family, more.aggregates, more))
    return found


def _family(available: SeriesAndTiers, kind: Kind, family: Family) -> Family:
    """Return the family of roll-ups of a kind; where others are among them, that of samples."""
    return family if all(one.kind is kind for one in available.series) else Family.METRICS


def _whole(
    available: SeriesAndTiers, family: Family, grid: Grid, aggregates: Sequence[str]
) -> Tier:
    """Return a tier for what no roll-up of plain samples tells, as long as it is kept."""
    tier = available.tier(family, grid) if family is not Family.METRICS else available.samples
    if not tier.has(grid.start) and not tier.width_s:
        raise InvalidError(
            f"{', '.join(aggregates)} of this step needs samples, which are kept from "
            f"{tier.kept_from:%Y-%m-%dT%H:%MZ} on; percentiles of kind distribution and rates of "
            "kind counter are there for any time at steps of 5m and more"
        )
    return tier


def check(
    query: HistoryQuery, available: SeriesAndTiers, grid: Grid, lines: int, interval_s: float
) -> None:
    """Refuse a question whose answer is too large, or read from too much; name a step that fits."""
    problem = _excess(query, available, grid, lines, interval_s)
    if not problem:
        return
    for step_s in (step_s for step_s in grids.STEPS_S if step_s > grid.step_s):
        with suppress(InvalidError):
            wider = grids.make(query.start, query.end, step_s, query.zone)
            if not _excess(query, available, wider, lines, interval_s):
                advice = f"the nearest step that fits is {duration_text(step_s)}"
                break
    else:
        advice = "ask for a shorter range, fewer series or fewer aggregates"
    raise InvalidError(f"{problem}; {advice}")


def _excess(
    query: HistoryQuery, available: SeriesAndTiers, grid: Grid, lines: int, interval_s: float
) -> str:
    """Say which limit is broken, if any, by the buckets asked for and those to compare with."""
    earlier = [grids.back(grid, seconds, query.zone) for seconds in query.compare.values()]
    rows = sum(
        one.seconds * _rows_per_s(source, interval_s)
        for one in (grid, *earlier)
        for source in tier_sources(available, one, query.aggregates)
    )
    values = grid.points * lines * len(query.aggregates) * (1 + len(earlier))
    return grids.excess(grid.points, values, rows * len(available.series))


def _rows_per_s(source: TierSource, interval_s: float) -> float:
    """Return how many rows a tier has of a series, of samples that come at an interval."""
    width_s = source.tier.width_s or interval_s
    if source.family is not Family.DISTRIBUTIONS:
        return 1 / width_s
    return max(1, min(width_s / interval_s, SKETCH_BUCKETS)) / width_s


async def read(
    connection: Connection, lines: Sequence[OutputLine], grid: Grid, found: Sequence[TierSource]
) -> list[Columns]:
    """Return the columns of each line, the number of samples among them."""
    names = list(dict.fromkeys(name for source in found for name in source.columns))
    tables = [empty(grid.points, names) for _ in lines]
    wide = max(1, len(names) / COLUMNS_PER_QUERY)
    batch = max(1, int(BUCKETS_PER_QUERY / wide) // grid.points)
    for first in range(0, len(lines), batch):
        some = range(first, min(first + batch, len(lines)))
        for source in found:
            await _read_source(
                connection, source, grid, [lines[i].series for i in some], tables[first:]
            )
    if any(source.histograms for source in found):
        for table in tables:
            observations.combine(table, found[0].aggregates)
            await asyncio.sleep(0)
    return tables


async def _read_source(
    connection: Connection,
    source: TierSource,
    grid: Grid,
    lines: Sequence[Sequence[Selected]],
    tables: Sequence[Columns],
) -> None:
    read = [[number for one in series for number in source.ids(one)] for series in lines]
    ids = [number for some in read for number in some]
    if not ids:
        return
    if all(len(some) == 1 for some in read):
        groups, by_who = None, dict(zip(ids, tables, strict=False))
    else:
        groups = [number for number, some in enumerate(read) for _ in some]
        by_who = dict(enumerate(tables[: len(lines)]))
    reading = TierRead(source.tier, grid, ids, groups)
    if source.family is Family.COUNTERS:
        rows = await history.rates(connection, reading, source.aggregates)
    elif source.family is Family.DISTRIBUTIONS:
        rows = await history.percentiles(connection, reading, source.aggregates)
    else:
        rows = await history.fold(connection, reading, source.aggregates)
    place(by_who, rows, source.columns)


def tier_name(found: Sequence[TierSource]) -> str:
    """Return the name of the finest tier that is read."""
    return min((source.tier for source in found), key=lambda tier: tier.width_s).name
