"""Exports buckets with the same columns as history, in pieces of few lines or short time."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from msgspec import Struct

from history import grid as grids
from history import planner
from history.columns import Columns
from history.export.formats import Format
from history.export.pages import Extent
from history.export.samples import Connect
from history.grid import Grid
from history.planner import OutputLine, TierSource
from history.query import HistoryQuery
from history.reader import SeriesAndTiers
from model.errors import InvalidError

ROWS_PER_PIECE = 10_000
ROWS_PER_BUCKET_MAX = 200_000
"""Most rows behind one bucket: a bucket is read in one statement and must not delay others."""


class Piece(Struct, frozen=True):
    """Lines, by position, on a part of the grid."""

    numbers: Sequence[int]
    grid: Grid


class Buckets(Struct, frozen=True):
    """The buckets to export; `ranges` limits each line to those between first and last sample."""

    lines: Sequence[OutputLine]
    grid: Grid
    tier_sources: Sequence[TierSource]
    ranges: Mapping[int, range]
    rows_per_bucket: float
    """The number of tier rows behind one bucket of one series."""

    @property
    def rows_estimate(self) -> int:
        """An upper bound: buckets without samples produce no row."""
        return sum(map(len, self.ranges.values()))

    async def pages(self, connect: Connect, form: Format) -> AsyncIterator[bytes]:
        for piece in self._pieces():
            lines = [self.lines[number] for number in piece.numbers]
            async with connect() as connection:
                tables = await planner.read(connection, lines, piece.grid, self.tier_sources)
            for number, table in zip(piece.numbers, tables, strict=True):
                yield _rows(form, number, piece.grid, table)

    def _pieces(self) -> Iterator[Piece]:
        for numbers, buckets in self._batches():
            width = max(1, int(ROWS_PER_PIECE / sum(map(self._cost, numbers))))
            for start in range(buckets.start, buckets.stop, width):
                yield Piece(numbers, _part(self.grid, start, min(start + width, buckets.stop)))

    def _batches(self) -> Iterator[tuple[list[int], range]]:
        """Combine small lines into batches; a batch covers the buckets of all its lines."""
        batch: list[int] = []
        cost, whole = 0.0, range(0)
        for number, buckets in self.ranges.items():
            more, wider = cost + self._cost(number), _both(whole, buckets) if batch else buckets
            if batch and len(wider) * more > ROWS_PER_PIECE:
                yield batch, whole
                batch, more, wider = [], self._cost(number), buckets
            batch.append(number)
            cost, whole = more, wider
        if batch:
            yield batch, whole

    def _cost(self, number: int) -> float:
        return len(self.lines[number].series) * self.rows_per_bucket


def find(
    query: HistoryQuery, available: SeriesAndTiers, extents: Mapping[int, Extent], interval_s: float
) -> Buckets:
    """Return the buckets of a query. Raises InvalidError if one bucket reads too many rows."""
    grid = (
        planner.grid_of(query, available)
        if query.step_s is None
        else grids.make(query.start, query.end, query.step_s, query.zone, bounded=False)
    )
    lines = planner.output_lines(query, available.series)
    tier_sources = planner.tier_sources(available, grid, query.aggregates)
    row_s = min(source.tier.width_s or interval_s for source in tier_sources)
    ranges = {
        number: found
        for number, line in enumerate(lines)
        if (
            found := _range(
                grid, [extents[s.id] for s in line.series if s.id in extents], tier_sources
            )
        )
    }
    buckets = Buckets(lines, grid, tier_sources, ranges, max(1.0, grid.step_s / row_s))
    largest = max((len(line.series) for line in lines), default=0) * buckets.rows_per_bucket
    if largest > ROWS_PER_BUCKET_MAX:
        raise InvalidError(
            f"one bucket would read about {largest:,.0f} rows, and may read "
            f"{ROWS_PER_BUCKET_MAX:,}; choose a shorter step, or group by more labels"
        )
    return buckets


def _range(grid: Grid, extents: Sequence[Extent], tier_sources: Sequence[TierSource]) -> range:
    """Return the positions of the buckets that can contain samples."""
    if not extents:
        return range(0)
    first = min(extent.first_time for extent in extents)
    kept = min(source.tier.kept_from or first for source in tier_sources)
    last = max(extent.last_time for extent in extents)
    start = max(0, bisect_right(grid.edges, max(first, kept).timestamp()) - 1)
    return range(start, max(start, min(grid.points, bisect_right(grid.edges, last.timestamp()))))


def _both(one: range, other: range) -> range:
    return range(min(one.start, other.start), max(one.stop, other.stop))


def _part(grid: Grid, start: int, stop: int) -> Grid:
    before = grid.edges[start - 1] if start else grid.before
    return Grid(grid.edges[start : stop + 1], grid.step_s, before, grid.is_calendar)


def _rows(form: Format, number: int, grid: Grid, table: Columns) -> bytes:
    """Return the rows of buckets with at least one value."""
    columns = list(table.values())
    kept = [
        i for i, row in enumerate(zip(*columns, strict=True)) if any(v is not None for v in row)
    ]
    if not kept:
        return b""
    values = [[table[name][i] for i in kept] for name in form.columns]
    return form.buckets(number, [grid.edges[i] for i in kept], values)
