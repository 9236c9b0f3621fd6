"""Links of messages in the database: what each does, and whether it was used."""

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


class Found(Struct, frozen=True):
    """What a link does, and the alert that it acts on."""

    action: LinkAction
    alert_id: int
    person: str
    used_at: datetime | None
    title: str
    state: str
    component: str


async def add(connection: Connection, link: Link) -> None:
    """Keep a link."""
    await queries.run(connection, ADD, **structs.asdict(link))


async def find(connection: Connection, token: Token) -> Found:
    """Return what a link does. Raises NotFoundError."""
    found = await queries.first(connection, Found, FIND, id_hash=token.id_hash)
    if found is None:
        raise NotFoundError(UNKNOWN)
    return found


async def use(connection: Connection, token: Token, now: datetime) -> bool:
    """Use a link up, to the end of the transaction; False when it was used before."""
    return await queries.run(connection, USE, id_hash=token.id_hash, now=now) == 1


async def drop_expired(connection: Connection, now: datetime) -> None:
    """Delete links that act no longer."""
    await queries.run(connection, DROP_EXPIRED, now=now)
