"""What the tiers hold and cost, and what a change of the retention would drop."""

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
    """A tier; `table_bytes` is what it takes without any chunk."""

    name: str
    relation: str
    keep: timedelta | None
    width: timedelta
    dropped_to: datetime | None
    table_bytes: int


class Chunk(Struct, frozen=True):
    """A part of a tier; `unpacked_bytes` is what it took before it was compressed."""

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
    """The tier of a chunk and its start, which tell it from all others."""

    tier: str
    start_time: datetime


class DroppedRows(Struct, frozen=True):
    """Rows of one metric in one tier that go because they are older than `before`."""

    metric: str
    before: datetime
    tier: str
    rows: int


class DroppedChunk(Struct, frozen=True):
    """A chunk that goes as a whole."""

    start: datetime
    end: datetime
    rows: int
    bytes: int


class TierUse(Struct, frozen=True):
    """What a tier holds, costs, and comes to.

    `bytes` is the whole with its indexes, part of it compressed and part not yet; `unpacked_bytes`
    is what it would take if nothing were. `bytes_per_day` is what a day costs once it is
    compressed; null: not known yet. `full_at` is when as much goes as comes; null: never.
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
    """The room for the database."""

    total_bytes: int
    free_bytes: int


class Storage(Struct, frozen=True):
    """What everything takes, and when there will be no room left.

    `growth_bytes_per_day` counts the tiers that are not full yet. `disk` is null where it cannot be
    seen; then set `capacity_bytes` of the retention. `full_at` is null when that never comes.
    """

    tiers: list[TierUse]
    database_bytes: int
    growth_bytes_per_day: float
    disk: Disk | None
    full_at: datetime | None


class TierChange(Struct, frozen=True):
    """What a change does to a tier. What was dropped before `dropped_before` does not come back.

    With rows that go by the age of their metric, `bytes_after` is the most that is left.
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
    """What a change of the retention would drop, in all and in every tier."""

    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int
    tiers: list[TierChange]
    metrics: list[DroppedRows]


async def tiers(connection: Connection) -> list[TierUsage]:
    """Return the tiers, each behind its source."""
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
    """Return the chunks that the maintenance drops once the wanted ages act."""
    names, ages = [w.name for w in wanted], [w.keep for w in wanted]
    return await queries.rows(
        connection, ChunkName, DROPPED_CHUNKS, names=names, ages=ages, now=now
    )


async def dropped_rows(
    connection: Connection, metrics: dict[str, Any], dropped: Sequence[ChunkName], now: datetime
) -> list[DroppedRows]:
    """Return what goes by the ages of metrics, beside the chunks that are dropped."""
    return await queries.rows(
        connection,
        DroppedRows,
        DROPPED_ROWS,
        metrics=Jsonb(metrics),
        tiers=[chunk.tier for chunk in dropped],
        starts=[chunk.start_time for chunk in dropped],
        now=now,
    )
