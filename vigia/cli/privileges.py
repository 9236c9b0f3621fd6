"""Finds rights and roles on a database server that an administrator should remove."""

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
SIDE_EFFECTS = _QUERIES["side_effects"]
LEFT_OVER_ROLES = _QUERIES["left_over_roles"]


class Named(Struct, frozen=True):
    """A function or a role."""

    name: str


async def side_effects(connection: Connection) -> list[str]:
    """Return functions that affect the whole server and that every reader may call."""
    return [found.name for found in await queries.rows(connection, Named, SIDE_EFFECTS)]


async def left_over_roles(connection: Connection) -> list[str]:
    """Return the logins of SQL rules whose database was dropped."""
    return [found.name for found in await queries.rows(connection, Named, LEFT_OVER_ROLES)]
