"""Samples of one series in pages, as they leave the house: each page is one short query."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from db import queries
from db.queries import Connection, Query

_QUERIES = queries.load(__file__)
EXTENTS = _QUERIES["extents"]
LINES = _QUERIES["lines"]
COLUMNS = _QUERIES["columns"]

ROWS_MAX = 10_000
"""Samples of a page: some 10 ms of a native server, 30 ms of the embedded engine's one session."""


class Extent(Struct, frozen=True):
    """From when to when there are samples of a series; the last one is within."""

    series_id: int
    first_time: datetime
    last_time: datetime


class Span(Struct, frozen=True):
    """Which samples a page begins with: those of a series in a range; the end is exclusive."""

    series_id: int
    start: datetime
    end: datetime


class Frame(Struct, frozen=True):
    """What stands before the time of a line, between time and value, and behind."""

    head: str
    middle: str
    tail: str


class Lines(Struct, frozen=True):
    """At most ROWS_MAX samples in the order of their times, and the time of the last of them."""

    rows: int
    last: datetime | None
    body: bytes


class Columns(Struct, frozen=True):
    """The same as big-endian numbers of 8 bytes; times in microseconds since the year 2000."""

    rows: int
    last: datetime | None
    times: bytes
    values: bytes


async def extents(connection: Connection, series_ids: Sequence[int]) -> dict[int, Extent]:
    """Return the extent of each series that has samples."""
    found = await queries.rows(connection, Extent, EXTENTS, series_ids=list(series_ids))
    return {extent.series_id: extent for extent in found}


async def lines(connection: Connection, span: Span, frame: Frame) -> Lines:
    """Return a page as text."""
    texts = {"head": frame.head, "middle": frame.middle, "tail": frame.tail}
    return Lines(*await _page(connection, LINES, span, texts))


async def columns(connection: Connection, span: Span) -> Columns:
    """Return a page as numbers."""
    return Columns(*await _page(connection, COLUMNS, span, {}))


async def _page(
    connection: Connection, query: Query, span: Span, texts: Mapping[str, str]
) -> Sequence[Any]:
    given = {
        "series_id": span.series_id,
        "start": span.start,
        "end": span.end,
        "rows_max": ROWS_MAX,
        **texts,
    }
    async with connection.cursor(binary=True) as cursor:
        # A plan that was kept for any range would open every chunk of the table.
        await cursor.execute(query, given, prepare=False)
        [row] = await cursor.fetchall()
        return row
