"""The newest sample of every series that still receives samples, for scrapes of `/metrics`."""

from datetime import datetime
from typing import NamedTuple

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
NEWEST = _QUERIES["newest"]
COUNT_STALE = _QUERIES["count_stale"]


class Newest(NamedTuple):
    """The newest sample of a series. `labels` is JSON, `time_ms` is epoch milliseconds."""

    metric: str
    component: str
    labels: str
    unit: str
    kind: str
    value: float
    time_ms: int


async def newest(connection: Connection, since: datetime) -> list[Newest]:
    """Return the newest sample of each series that has one since a time, ordered by metric."""
    cursor = await connection.execute(NEWEST, {"since": since})
    return [Newest(*row) for row in await cursor.fetchall()]


async def count_stale(connection: Connection, since: datetime) -> int:
    """Return the number of series without a sample since a time."""
    count: int = await queries.value(connection, COUNT_STALE, since=since)
    return count
