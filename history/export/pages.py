"""Reads samples of one series in pages for export; each page is one short query."""

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
"""Samples of a page: about 10 ms on a server, 30 ms on the embedded engine's only session."""


class Extent(Struct, frozen=True):
    """The times of the first and the last sample of a series, both inclusive."""

    series_id: int
    first_time: datetime
    last_time: datetime


class Span(Struct, frozen=True):
    """A series and a time range to read from; the end is exclusive."""

    series_id: int
    start: datetime
    end: datetime


class Frame(Struct, frozen=True):
    """The texts of a line before the time, between time and value, and after the value."""

    head: str
    middle: str
    tail: str


class Lines(Struct, frozen=True):
    """At most ROWS_MAX samples as text, ordered by time, and the time of the last one."""

    rows: int
    last: datetime | None
    body: bytes


class Columns(Struct, frozen=True):
    """At most ROWS_MAX samples as big-endian 8-byte numbers; times are microseconds since 2000."""

    rows: int
    last: datetime | None
    times: bytes
    values: bytes


async def extents(connection: Connection, series_ids: Sequence[int]) -> dict[int, Extent]:
    """Return the extent of each series with samples, by series id."""
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
        # A prepared generic plan would open every chunk of the table, whatever the range.
        await cursor.execute(query, given, prepare=False)
        [row] = await cursor.fetchall()
        return row
