"""The bus: transitions in the order of their commits, kept for clients that come back."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
APPEND = _QUERIES["append"]
NEWEST = _QUERIES["newest"]
OLDEST = _QUERIES["oldest"]
AFTER = _QUERIES["after"]
DROP_OLD = _QUERIES["drop_old"]


class Event(Struct, frozen=True):
    """One event; `payload` is the data of the message that clients receive."""

    seq: int
    time: datetime
    type: str
    payload: dict[str, object]


async def append(
    connection: Connection, time: datetime, events: Sequence[tuple[str, object]]
) -> int:
    """Append (type, payload) pairs in the caller's transaction and return the newest number.

    The counter stays locked until that transaction ends, which is what makes numbers follow the
    order of commits: append last. Without events it stays unlocked.
    """
    if not events:
        return await newest(connection)
    seq: int = await queries.value(connection, APPEND, time=time, events=Jsonb(events))
    return seq


async def newest(connection: Connection) -> int:
    """Return the number of the newest event, 0 when there was none."""
    seq: int = await queries.value(connection, NEWEST)
    return seq


async def oldest(connection: Connection) -> int | None:
    """Return the number of the oldest event that is kept."""
    seq: int | None = await queries.value(connection, OLDEST)
    return seq


async def after(connection: Connection, seq: int, limit: int) -> list[Event]:
    """Return at most `limit` events behind a number, in order."""
    return await queries.rows(connection, Event, AFTER, seq=seq, limit=limit)


async def drop_old(connection: Connection, before: datetime) -> int:
    """Delete the events of before a time and return how many there were."""
    return await queries.run(connection, DROP_OLD, before=before)
