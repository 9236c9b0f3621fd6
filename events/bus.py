"""The bus: transitions in commit order, kept for clients that reconnect."""

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
    """One event. `payload` is the data of the message to clients."""

    seq: int
    time: datetime
    type: str
    payload: dict[str, object]


async def append(
    connection: Connection, time: datetime, events: Sequence[tuple[str, object]]
) -> int:
    """Append (type, payload) pairs in the caller's transaction, and return the newest number.

    Numbers must follow the order of commits, or a client that asks for `seq > n` could miss an
    event. Therefore the row of the counter stays locked until the transaction ends. Append as the
    last step of a transaction, because all others wait for that lock. Without events, nothing is
    locked.
    """
    if not events:
        return await newest(connection)
    seq: int = await queries.value(connection, APPEND, time=time, events=Jsonb(events))
    return seq


async def newest(connection: Connection) -> int:
    """Return the number of the newest event, or 0 before the first one."""
    seq: int = await queries.value(connection, NEWEST)
    return seq


async def oldest(connection: Connection) -> int | None:
    """Return the number of the oldest stored event, or None."""
    seq: int | None = await queries.value(connection, OLDEST)
    return seq


async def after(connection: Connection, seq: int, limit: int) -> list[Event]:
    """Return at most `limit` events with a number above `seq`, in order."""
    return await queries.rows(connection, Event, AFTER, seq=seq, limit=limit)


async def drop_old(connection: Connection, before: datetime) -> int:
    """Delete the events before a time, and return their number."""
    return await queries.run(connection, DROP_OLD, before=before)
