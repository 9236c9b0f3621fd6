"""Which components outside are asked, and which were: let go is let go, after a restart too."""

from collections.abc import Collection
from datetime import datetime, timedelta

from db import queries
from db.queries import Connection

_QUERIES = queries.load("watched")
WATCH = _QUERIES["watch"]
WATCH_AGAIN = _QUERIES["watch_again"]
LET_GO = _QUERIES["let_go"]
LEAVING = _QUERIES["leaving"]
DROP_OLD = _QUERIES["drop_old"]

LAST_WORDS = timedelta(seconds=30)
"""How long a component that was let go may still be heard: it was just being asked."""
REMEMBERED = timedelta(days=9)
"""Longer than any rule looks back."""


async def watch(connection: Connection, components: Collection[str]) -> None:
    """Remember that components are asked."""
    for query in (WATCH, WATCH_AGAIN):
        await queries.run(connection, query, components=sorted(components))


async def let_go(connection: Connection, components: Collection[str], now: datetime) -> list[str]:
    """Let go of all but some components; return those of which last words may still come."""
    await queries.run(connection, LET_GO, components=sorted(components), at=now)
    await queries.run(connection, DROP_OLD, before=now - REMEMBERED)
    leaving: list[str] | None = await queries.value(connection, LEAVING, since=now - LAST_WORDS)
    return leaving or []
