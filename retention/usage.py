"""The rows and bytes of each tier, and the ones that a change of the retention would drop."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from retention.tiers import Wanted

_QUERIES = queries.load(__file__)
TIERS = _QUERIES["tiers"]
CHUNKS = _QUERIES["chunks"]
DATABASE_BYTES = _QUERIES["database_bytes"]
DROPPED_CHUNKS = _QUERIES["dropped_chunks"]
DROPPED_ROWS = _QUERIES["dropped_rows"]


class TierUsage(Struct, frozen=True):
    """A tier. `table_bytes` is the size of its table without chunks."""

    name: str
    relation: str
    keep: timedelta | None
    width: timedelta
    dropped_to: datetime | None
    table_bytes: int


class Chunk(Struct, frozen=True):
    """A chunk of a tier. `unpacked_bytes` is its size before compression."""

    tier: str
    start_time: datetime
    end_time: datetime
    is_compressed: bool
    rows: int
    oldest: datetime | None
    newest: datetime | None
    bytes: int
    unpacked_bytes: int


class ChunkName(Struct, frozen=True):
    """The tier and the start of a chunk, which identify it."""

    tier: str
    start_time: datetime


class DroppedRows(Struct, frozen=True):
    """Rows of one metric in one tier that are dropped because they are older than `before`."""

    metric: str
    before: datetime
    tier: str
    rows: int


class DroppedChunk(Struct, frozen=True):
    """A chunk that is dropped as a whole."""

    start: datetime
    end: datetime
    rows: int
    bytes: int


class TierUse(Struct, frozen=True):
    """The rows and sizes of a tier, and their growth.

    `bytes` is the size of compressed and uncompressed chunks with their indexes. `unpacked_bytes`
    is the size without any compression. `bytes_per_day` is the compressed size of one day; null
    means unknown yet. `full_at` is when one chunk is dropped for each new one; null means never.
    """

    name: str
    relation: str
    rows: int
    bytes: int
    compressed_bytes: int
    uncompressed_bytes: int
    unpacked_bytes: int
    bytes_per_row: float | None
    oldest: datetime | None
    newest: datetime | None
    keep_days: float | None
    bytes_per_day: float | None
    full_at: datetime | None


class Disk(Struct, frozen=True):
    """The disk of the database."""

    total_bytes: int
    free_bytes: int


class Storage(Struct, frozen=True):
    """The size of all tiers, and when the disk will be full.

    `growth_bytes_per_day` counts the tiers that still grow. `disk` is null if Vigia cannot see the
    disk of the database; set `capacity_bytes` of the retention then. `full_at` is null if the disk
    never becomes full.
    """

    tiers: list[TierUse]
    database_bytes: int
    growth_bytes_per_day: float
    disk: Disk | None
    full_at: datetime | None


class TierChange(Struct, frozen=True):
    """The effect of a change on a tier.

    Data before `dropped_before` are dropped already, and a longer retention does not restore them.
    If rows are dropped by the retention of their metric, `bytes_after` is an upper bound.
    """

    name: str
    keep_days_before: float | None
    keep_days_after: float | None
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    dropped: list[DroppedChunk]
    dropped_before: datetime | None
    full_at: datetime | None


class Preview(Struct, frozen=True):
    """The rows and bytes that a change of the retention would drop, in total and in each tier."""

    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    tiers: list[TierChange]
    metrics: list[DroppedRows]


async def tiers(connection: Connection) -> list[TierUsage]:
    """Return the tiers. Each comes after the tier that it is rolled up from."""
    return await queries.rows(connection, TierUsage, TIERS)


async def chunks(connection: Connection) -> list[Chunk]:
    """Return the chunks of all tiers, oldest first."""
    return await queries.rows(connection, Chunk, CHUNKS)


async def database_bytes(connection: Connection) -> int:
    size: int = await queries.value(connection, DATABASE_BYTES)
    return size


async def dropped_chunks(
    connection: Connection, wanted: Sequence[Wanted], now: datetime
) -> list[ChunkName]:
    """Return the chunks that the maintenance drops with the wanted retention."""
    names, ages = [w.name for w in wanted], [w.keep for w in wanted]
    return await queries.rows(
        connection, ChunkName, DROPPED_CHUNKS, names=names, ages=ages, now=now
    )


async def dropped_rows(
    connection: Connection, metrics: dict[str, Any], dropped: Sequence[ChunkName], now: datetime
) -> list[DroppedRows]:
    """Return the rows that the retention of metrics drops, outside the dropped chunks."""
    return await queries.rows(
        connection,
        DroppedRows,
        DROPPED_ROWS,
        metrics=Jsonb(metrics),
        tiers=[chunk.tier for chunk in dropped],
        starts=[chunk.start_time for chunk in dropped],
        now=now,
    )
