"""Stores the tokens of calendar feeds. A token reads one schedule or one person's shifts."""

import hashlib
import re
import secrets
from datetime import datetime

from msgspec import Struct

from db import queries
from db.queries import Connection
from runtime.settings import Secret

_QUERIES = queries.load(__file__)
OF_SCHEDULE = _QUERIES["of_schedule"]
OF_CONTACT = _QUERIES["of_contact"]
END_OF_SCHEDULE = _QUERIES["end_of_schedule"]
END_OF_CONTACT = _QUERIES["end_of_contact"]
FIND = _QUERIES["find"]

TOKEN_BYTES = 32
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Feed(Struct, frozen=True, kw_only=True):
    """The content of a feed: a schedule, or the shifts of a person."""

    schedule: str | None
    person: str | None


async def of_schedule(
    connection: Connection, name: str, now: datetime, actor: str
) -> Secret | None:
    """Create the token of a schedule and revoke the earlier one. None: no such schedule."""
    return await _make(connection, OF_SCHEDULE, name, now, actor)


async def of_contact(connection: Connection, name: str, now: datetime, actor: str) -> Secret | None:
    """Create the token of a person and revoke the earlier one. None: no such contact."""
    return await _make(connection, OF_CONTACT, name, now, actor)


async def end_of_schedule(connection: Connection, name: str) -> bool:
    """Revoke the token of a schedule. False: it has none."""
    return await queries.run(connection, END_OF_SCHEDULE, name=name) == 1


async def end_of_contact(connection: Connection, name: str) -> bool:
    """Revoke the token of a person. False: the person has none."""
    return await queries.run(connection, END_OF_CONTACT, name=name) == 1


async def find(connection: Connection, token: str) -> Feed | None:
    """Return the feed of a token. None: the token is unknown or revoked."""
    if not TOKEN.fullmatch(token):
        return None
    return await queries.first(connection, Feed, FIND, token_hash=_hash(token))


async def _make(
    connection: Connection, query: queries.Query, name: str, now: datetime, actor: str
) -> Secret | None:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    made = await queries.run(
        connection, query, name=name, token_hash=_hash(token), now=now, actor=actor
    )
    return Secret(token) if made else None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
