"""Stores the links of messages: what each link does, and whether it was used."""

from datetime import datetime

from msgspec import Struct, structs

from db import queries
from db.queries import Connection
from model.errors import NotFoundError
from notifications.links import UNKNOWN, Link, LinkAction, Token

_QUERIES = queries.load(__file__)
ADD = _QUERIES["add"]
FIND = _QUERIES["find"]
USE = _QUERIES["use"]
DROP_EXPIRED = _QUERIES["drop_expired"]


class StoredLink(Struct, frozen=True):
    """A stored link, and the alert that it acts on."""

    action: LinkAction
    alert_id: int
    person: str
    used_at: datetime | None
    title: str
    state: str
    component: str


async def add(connection: Connection, link: Link) -> None:
    """Store a link."""
    await queries.run(connection, ADD, **structs.asdict(link))


async def find(connection: Connection, token: Token) -> StoredLink:
    """Return a stored link. Raises NotFoundError."""
    found = await queries.first(connection, StoredLink, FIND, id_hash=token.id_hash)
    if found is None:
        raise NotFoundError(UNKNOWN)
    return found


async def use(connection: Connection, token: Token, now: datetime) -> bool:
    """Mark a link as used. Return False if it was used before.

    The row stays locked until the transaction ends. If two people press at the same time, the
    second waits and gets False.
    """
    return await queries.run(connection, USE, id_hash=token.id_hash, now=now) == 1


async def drop_expired(connection: Connection, now: datetime) -> None:
    """Delete expired links."""
    await queries.run(connection, DROP_EXPIRED, now=now)
