"""Plans and reads a history query: chooses a tier for each aggregate, and reads in batches.

1. `find` selects the series. Patterns are matched against the label values that exist.
2. `grid_of` chooses the buckets. `auto` chooses only steps for which rows are still kept.
3. `output_lines` groups the series into lines of the response.
4. `check` rejects a query whose response or reads would be too large.
5. `tier_sources` chooses, for each kind of aggregate, the coarsest tier that answers it exactly.
6. `read` reads these tiers in batches of lines and places the values in columns.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct

from db.queries import Connection
from history import grid as grids
from history import observations, unknown
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
"""Most buckets of one read: it occupies the embedded engine's only session and the event loop."""
COLUMNS_PER_QUERY = 4
"""If a read has more columns, its batches are smaller in proportion."""
COVERAGE = "count"
SKETCH_BUCKETS = 100
"""Assumed number of sketch buckets of a distribution; measured: 1 to 7 times as many values."""


class OutputLine(Struct, frozen=True):
    """One line of the response: a series, or several of one metric combined."""

    metric: str
    component: str | None
    labels: dict[str, str]
    series: Sequence[Selected]


class TierSource(Struct, frozen=True):
    """A tier and the aggregates to read from it; `histograms` if parts of these are read."""

    tier: Tier
    family: Family
    aggregates: Sequence[str]
    histograms: Wanted | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that the read fills."""
        of = self.histograms
        return [of.column(name) if of else name for name in self.aggregates]

    def ids(self, one: Selected) -> list[int]:
        """Return the ids of the series to read for a selected one."""
        if self.histograms is None:
            return [one.id]
        return self.histograms.ids(one) if one.parts else []


async def find(
    connection: Connection, query: HistoryQuery, series_max: int = SERIES_MAX
) -> SeriesAndTiers:
    """Return the series of a query and all tiers.

    Raises InvalidError for too many series, and NotFoundError for a metric that does not exist.
    """
    selectors = [*query.selectors, *await _match(connection, query)]
    available = await history.series_and_tiers(
        connection, query.metrics, query.component, selectors, series_max + 1
    )
    if len(available.series) > series_max:
        raise InvalidError(
            f"the query matches more than {series_max:,} series; narrow it by component or labels"
        )
    await unknown.refuse(connection, query.metrics, {one.metric for one in available.series})
    return available


async def _match(connection: Connection, query: HistoryQuery) -> list[Selector]:
    """Match patterns against existing label values, within MATCHING_S for all patterns."""
    left_s = history_query.MATCHING_S
    matched = []
    for pattern in query.patterns:
        values = await history.label_values(
            connection, query.metrics, query.component, pattern.label, VALUES_MAX + 1
        )
        if len(values) > VALUES_MAX:
            raise InvalidError(
                f"label.{pattern.label:.40} has more than {VALUES_MAX:,} values, too many for a "
                "pattern; narrow the query by component"
            )
        began = time.thread_time()
        matched.append(pattern.select(values, began + left_s))
        left_s -= time.thread_time() - began
    return matched


def grid_of(query: HistoryQuery, available: SeriesAndTiers) -> Grid:
    """Return the grid of a query; `auto` chooses a step for which rows are still kept."""
    if query.step_s is not None:
        return grids.make(query.start, query.end, query.step_s, query.zone)
    kept = [t for t in available.tiers if t.family is Family.METRICS and t.has(query.start)]
    # If no tier reaches back to the start, use the coarsest: it is kept longest.
    finest_s = min((max(t.width_s, 1) for t in kept), default=DAY_S)
    return grids.auto(query.start, query.end, query.points, finest_s, query.zone)


def output_lines(query: HistoryQuery, series: Sequence[Selected]) -> list[OutputLine]:
    """Return the lines of the response, ordered by name."""
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
    """Return a group named after its labels; with a component if all series have the same."""
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
    """Return the tiers to read. Raises InvalidError if the data needed are not kept any more."""
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
    """Return the roll-up family of a kind, or that of samples if some series have another kind."""
    return family if all(one.kind is kind for one in available.series) else Family.METRICS


def _whole(
    available: SeriesAndTiers, family: Family, grid: Grid, aggregates: Sequence[str]
) -> Tier:
    """Return a tier for aggregates that roll-ups of plain samples do not contain.

    Raises InvalidError if only samples could answer, and they are not kept any more.
    """
    tier = available.tier(family, grid) if family is not Family.METRICS else available.samples
    if not tier.has(grid.start) and not tier.width_s:
        raise InvalidError(
            f"{', '.join(aggregates)} at this step needs samples, and these are kept only from "
            f"{tier.kept_from:%Y-%m-%dT%H:%MZ} on; start later, or store the metric as kind "
            "distribution (percentiles) or counter (rate), which have roll-ups from step 5m on"
        )
    return tier


def check(
    query: HistoryQuery, available: SeriesAndTiers, grid: Grid, lines: int, interval_s: float
) -> None:
    """Raise InvalidError if the response or the reads are too large, with a step that fits."""
    problem = _excess(query, available, grid, lines, interval_s)
    if not problem:
        return
    for step_s in (step_s for step_s in grids.STEPS_S if step_s > grid.step_s):
        with suppress(InvalidError):
            wider = grids.make(query.start, query.end, step_s, query.zone)
            if not _excess(query, available, wider, lines, interval_s):
                advice = f"the smallest step that fits is {duration_text(step_s)}"
                break
    else:
        advice = "choose a shorter range, fewer series or fewer aggregates"
    raise InvalidError(f"{problem}; {advice}")


def _excess(
    query: HistoryQuery, available: SeriesAndTiers, grid: Grid, lines: int, interval_s: float
) -> str:
    """Return which limit the query exceeds, as text; earlier grids to compare with count too."""
    earlier = [grids.back(grid, seconds, query.zone) for seconds in query.compare.values()]
    rows = sum(
        one.seconds * _rows_per_s(source, interval_s)
        for one in (grid, *earlier)
        for source in tier_sources(available, one, query.aggregates)
    )
    values = grid.points * lines * len(query.aggregates) * (1 + len(earlier))
    return grids.excess(grid.points, values, rows * len(available.series))


def _rows_per_s(source: TierSource, interval_s: float) -> float:
    """Return how many rows a second a tier has for a series with a sample every `interval_s`."""
    width_s = source.tier.width_s or interval_s
    if source.family is not Family.DISTRIBUTIONS:
        return 1 / width_s
    return max(1, min(width_s / interval_s, SKETCH_BUCKETS)) / width_s


async def read(
    connection: Connection, lines: Sequence[OutputLine], grid: Grid, found: Sequence[TierSource]
) -> list[Columns]:
    """Return the columns of each line, including the number of samples."""
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
            # Each table takes up to some milliseconds: let the event loop run in between.
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
