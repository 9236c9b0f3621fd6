"""What breaches a limit and waits for its rule's `for` to pass: the alerts to come."""

from datetime import datetime

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]


class Pending(Struct, frozen=True):
    """One instance of a rule; it fires at `fires_at` if it stays breached until then."""

    rule: str
    component: str
    labels: dict[str, str]
    since: datetime
    fires_at: datetime


async def read(connection: Connection, limit: int, skip: int = 0) -> list[Pending]:
    """Return what is pending, those first that fire first."""
    return await queries.rows(connection, Pending, READ, limit=limit, skip=skip)
