"""Buckets of the past, from the tier that fits."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load("history")
TIER = _QUERIES["tier"]
BUCKETS = _QUERIES["buckets"]


class Bucket(Struct, frozen=True):
    """One bucket of one series; `time` is its start in epoch seconds."""

    series_id: int
    time: int
    count: int
    sum: float
    min: float
    max: float
    first: float
    last: float


async def tier(connection: Connection, start: datetime, step_s: int) -> str:
    """Return the coarsest tier that can be folded into the step and still has the start."""
    found: str = await queries.value(connection, TIER, start=start, step=timedelta(seconds=step_s))
    return found


async def buckets(
    connection: Connection,
    tier_name: str,
    series_ids: Sequence[int],
    start: datetime,
    end: datetime,
    step_s: int,
    limit: int,
) -> list[Bucket]:
    """Return the buckets that hold samples, by series and time; both ends are whole steps."""
    return await queries.rows(
        connection,
        Bucket,
        BUCKETS,
        tier=tier_name,
        series_ids=list(series_ids),
        start=start,
        end=end,
        step=timedelta(seconds=step_s),
        limit=limit,
    )
