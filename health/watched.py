"""Tracks which external components are probed and when each was removed.

It is stored, so that a removal survives a restart.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from db import queries
from db.queries import Connection
from model.limits import REMOVAL_GRACE

_QUERIES = queries.load(__file__)
WATCH = _QUERIES["watch"]
WATCH_AGAIN = _QUERIES["watch_again"]
REMOVE_OTHERS = _QUERIES["remove_others"]
LEAVING = _QUERIES["leaving"]
DROP_OLD = _QUERIES["drop_old"]

REMEMBERED = timedelta(days=9)
"""How long removals are remembered: longer than any window of a rule."""


async def watch(connection: Connection, components: Collection[str]) -> None:
    """Record that components are probed."""
    for query in (WATCH, WATCH_AGAIN):
        await queries.run(connection, query, components=sorted(components))


async def remove_others(
    connection: Connection, components: Collection[str], now: datetime
) -> list[str]:
    """Remove all components except the given ones; return those in the removal grace period."""
    await queries.run(connection, REMOVE_OTHERS, components=sorted(components), at=now)
    await queries.run(connection, DROP_OLD, before=now - REMEMBERED)
    leaving: list[str] | None = await queries.value(connection, LEAVING, since=now - REMOVAL_GRACE)
    return leaving or []
