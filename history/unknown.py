"""Refuses metrics that do not exist, and names those that are most like them."""

import asyncio
from collections.abc import Collection, Sequence

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.errors import NotFoundError
from model.validation.nearest import did_you_mean

_QUERIES = queries.load(__file__)
UNKNOWN = _QUERIES["unknown"]
LIKE = _QUERIES["like"]
CANDIDATES_MAX = 1000
SHOWN_CHARS = 100
NEAREST = 3


class Named(Struct, frozen=True):
    """The name of a metric."""

    metric: str


async def refuse(connection: Connection, metrics: Sequence[str], found: Collection[str]) -> None:
    """Raise NotFoundError if a metric has no series. `found` are metrics that have some."""
    missing = [metric for metric in metrics if metric not in found]
    if not missing:
        return
    unknown = await queries.first(connection, Named, UNKNOWN, metrics=missing)
    if unknown is not None:
        raise NotFoundError(await words(connection, unknown.metric))


async def all_words(connection: Connection, metrics: Sequence[str]) -> list[str]:
    """Return a sentence for each of some metrics that has no series."""
    found = await queries.rows(connection, Named, UNKNOWN, metrics=list(metrics))
    return [await words(connection, one.metric) for one in found]


async def words(connection: Connection, metric: str) -> str:
    """Return that no series has a metric, with the names of the nearest ones."""
    rows = await queries.rows(connection, Named, LIKE, metric=metric, limit=CANDIDATES_MAX)
    names = [row.metric for row in rows]
    # Comparing a thousand names takes some 10 ms.
    meant = await asyncio.to_thread(did_you_mean, metric, names, NEAREST)
    return (
        f"there is no metric {metric[:SHOWN_CHARS]!r}{meant or '; GET /metrics lists all series'}"
    )
