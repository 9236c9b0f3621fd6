"""Computes the bytes of a row in each tier from TimescaleDB's sizes, and of a series in a year."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench import named
from bench.reference import Reference
from db import queries
from db.queries import Connection
from retention.tiers import Wanted

_QUERIES = named.load(__file__)
FUNCTIONS = _QUERIES["functions"]
CHUNKS = _QUERIES["chunks"]
COLUMNS = _QUERIES["columns"]
COMPRESS = _QUERIES["compress"]

DAY = timedelta(days=1)
YEAR_DAYS = 365.0
PHASES = 1000


class Chunk(Struct, frozen=True):
    """One chunk of a tier, with its indexes and its TOAST table."""

    tier: str
    width: timedelta
    range_start: datetime
    range_end: datetime
    is_compressed: bool
    row_count: int
    table_bytes: int
    index_bytes: int
    toast_bytes: int
    total_bytes: int


class Column(Struct, frozen=True):
    """The values of one column of one compressed chunk."""

    tier: str
    range_start: datetime
    name: str
    bytes: int


class Form(Struct, frozen=True):
    """Bytes of a row: in the table with its TOAST table, and in the indexes."""

    table: float
    index: float

    @property
    def total(self) -> float:
        return self.table + self.index


class Year(Struct, frozen=True):
    """Bytes of one series after a year: the mean and the maximum over all phases."""

    head: float
    packed: float
    worst: float

    @property
    def total(self) -> float:
        return self.head + self.packed


class Tier(Struct, frozen=True):
    """A tier before and after compression. `columns` are the compressed bytes of a row."""

    name: str
    rows_per_day: float
    width_days: float
    head: Form
    packed: Form
    columns: dict[str, float]

    def year(self, wanted: Wanted) -> Year:
        """Return the bytes one year after the first sample, over every phase of the chunks.

        A chunk is compressed or dropped when its end is old enough. So uncompressed and kept data
        can be up to one chunk older than the setting.
        """
        phases = (np.arange(PHASES) + 0.5) / PHASES * self.width_days

        def reach(age: timedelta | None) -> NDArray[np.float64]:
            days = YEAR_DAYS if age is None else age / DAY
            return np.minimum(days + (phases - days) % self.width_days, YEAR_DAYS)

        kept = reach(wanted.keep)
        young = np.minimum(reach(wanted.compress_after), kept)
        head = young * self.rows_per_day * self.head.total
        packed = (kept - young) * self.rows_per_day * self.packed.total
        return Year(float(head.mean()), float(packed.mean()), float((head + packed).max()))


async def measure(connection: Connection, data: Reference) -> list[Tier]:
    """Return the tiers with rows, as they are, and as if all chunks were compressed."""
    async with connection.transaction(force_rollback=True):
        await connection.execute(FUNCTIONS)
        heads = [c for c in await _chunks(connection, data) if not c.is_compressed]
        await connection.execute(COMPRESS)
        packed = await _chunks(connection, data)
        columns = await queries.rows(connection, Column, COLUMNS)
    return [
        _tier(data, [c for c in heads if c.tier == name], list(chunks), columns)
        for name, chunks in groupby(packed, key=lambda chunk: chunk.tier)
    ]


async def _chunks(connection: Connection, data: Reference) -> list[Chunk]:
    """Return the chunks with rows. If a tier has completely filled ones, return only those."""
    found = [c for c in await queries.rows(connection, Chunk, CHUNKS) if c.row_count]
    whole = {c.tier for c in found if _days(c, data) == c.width / DAY}
    return [c for c in found if c.tier not in whole or _days(c, data) == c.width / DAY]


def _days(chunk: Chunk, data: Reference) -> float:
    """Return how many days of a chunk the data cover."""
    start = max(chunk.range_start, data.start)
    return (min(chunk.range_end, data.end) - start) / DAY


def _tier(
    data: Reference, heads: Sequence[Chunk], packed: Sequence[Chunk], columns: Sequence[Column]
) -> Tier:
    rows = sum(chunk.row_count for chunk in packed)
    measured = {(chunk.tier, chunk.range_start) for chunk in packed}
    column_bytes: dict[str, float] = {}
    for column in columns:
        if (column.tier, column.range_start) in measured:
            known = column_bytes.get(column.name, 0.0)
            column_bytes[column.name] = known + column.bytes / rows
    return Tier(
        name=packed[0].tier,
        rows_per_day=rows / sum(_days(chunk, data) for chunk in packed) / len(data.series),
        width_days=packed[0].width / DAY,
        head=_form(heads),
        packed=_form(packed),
        columns=column_bytes,
    )


def _form(chunks: Sequence[Chunk]) -> Form:
    rows = sum(chunk.row_count for chunk in chunks)
    index = sum(chunk.index_bytes for chunk in chunks)
    return Form(sum(chunk.total_bytes for chunk in chunks) / rows - index / rows, index / rows)
