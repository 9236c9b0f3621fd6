"""Pending instances: their limit is breached, but not yet for the `for` of the rule."""

from datetime import datetime

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]


class Pending(Struct, frozen=True):
    """A pending instance of a rule; it fires at `fires_at` if it stays breached until then."""

    rule: str
    component: str
    labels: dict[str, str]
    since: datetime
    fires_at: datetime


async def read(connection: Connection, limit: int, skip: int = 0) -> list[Pending]:
    """Return pending instances, ordered by the time at which they fire."""
    return await queries.rows(connection, Pending, READ, limit=limit, skip=skip)
