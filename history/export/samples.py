"""Exports samples unchanged: series by series, in pages."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from math import ceil

from msgspec import Struct

from db.queries import Connection
from history import grid as grids
from history import reader as history
from history.export import pages as export
from history.export.formats import Format
from history.export.pages import Extent, Span
from history.grid import Grid
from history.query import HistoryQuery
from history.reader import Family, SeriesAndTiers, Tier, TierRead

WINDOW_MIN, WINDOW_MAX = timedelta(days=1), timedelta(days=64)
"""Bounds of the time that one page covers: the planner has to open each chunk in it, even empty."""
ESTIMATE_ROWS_MAX = 50_000
INSTANT = timedelta(microseconds=1)

Connect = Callable[[], AbstractAsyncContextManager[Connection]]


class Samples(Struct, frozen=True):
    """The samples to export: for each series, by position, the span that contains samples."""

    spans: Mapping[int, Span]
    rows_estimate: int

    async def pages(self, connect: Connect, form: Format) -> AsyncIterator[bytes]:
        for number, span in self.spans.items():
            start, window = span.start, WINDOW_MIN
            while start < span.end:
                part = Span(span.series_id, start, min(start + window, span.end))
                async with connect() as connection:
                    page = await form.samples(connection, number, part)
                yield page.body
                if page.last is not None and page.rows == export.ROWS_MAX:
                    start, window = page.last + INSTANT, max(window / 2, WINDOW_MIN)
                else:
                    start, window = part.end, min(window * 2, WINDOW_MAX)


async def find(
    connection: Connection,
    query: HistoryQuery,
    available: SeriesAndTiers,
    extents: Mapping[int, Extent],
    interval_s: float,
) -> Samples:
    """Return the spans of a query that contain samples, and an estimate of their number."""
    oldest = max(query.start, available.samples.kept_from or query.start)
    spans = {}
    for number, one in enumerate(available.series):
        if extent := extents.get(one.id):
            start, end = max(oldest, extent.first_time), min(query.end, extent.last_time + INSTANT)
            if start < end:
                spans[number] = Span(one.id, start, end)
    return Samples(spans, await _estimate(connection, available, list(spans.values()), interval_s))


async def _estimate(
    connection: Connection, available: SeriesAndTiers, spans: Sequence[Span], interval_s: float
) -> int:
    """Return an estimate of the number of samples in spans.

    Adds up the counts of a roll-up, for a part of the series if there are very many. If no roll-up
    covers the start, assumes a sample every `interval_s`.
    """
    if not spans:
        return 0
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    readable = [tier for tier in available.tiers if _tells(tier, start)]
    if not readable:
        return round(sum((span.end - span.start).total_seconds() for span in spans) / interval_s)
    seconds = (end - start).total_seconds()
    cheap = [t for t in readable if seconds / t.width_s * len(spans) <= ESTIMATE_ROWS_MAX]
    tier = min(cheap, key=_width) if cheap else max(readable, key=_width)
    buckets = grids.make(start, min(end, tier.refreshed_to or end), tier.width_s, bounded=False)
    some = spans[:: ceil(buckets.points * len(spans) / ESTIMATE_ROWS_MAX)]
    rows = await history.fold(connection, _as_one(tier, buckets, some), ["count"])
    counted = sum(sum(counts) for _, _, counts in rows) * len(spans) / len(some)
    return round(counted * seconds / buckets.seconds)


def _tells(tier: Tier, start: datetime) -> bool:
    """Return whether a roll-up of samples is kept and materialized from a start on."""
    if tier.family is not Family.METRICS or not tier.width_s or not tier.has(start):
        return False
    return tier.refreshed_to is not None and tier.refreshed_to > start


def _width(tier: Tier) -> int:
    return tier.width_s


def _as_one(tier: Tier, grid: Grid, spans: Sequence[Span]) -> TierRead:
    """Return a read of the whole grid as one bucket."""
    edges = grid.edges[0], grid.edges[-1]
    whole = Grid(edges, grid.seconds, edges[0] - grid.seconds)
    return TierRead(tier, whole, [span.series_id for span in spans])
