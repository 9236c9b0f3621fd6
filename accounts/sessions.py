"""Keys, sessions and sign-in links: random texts of which only the SHA-256 is kept."""

import secrets
from datetime import datetime, timedelta

from accounts.tokens import _fits, _new, hash_of
from db import queries
from db.queries import Connection
from model.principal import Principal
from runtime.settings import Secret

_QUERIES = queries.load(__file__)
OPEN_SESSION = _QUERIES["open_session"]
FIND_SESSION = _QUERIES["find_session"]
CLOSE_SESSION = _QUERIES["close_session"]
CLOSE_SESSIONS = _QUERIES["close_sessions"]
DROP_EXPIRED = _QUERIES["drop_expired"]
OFFER_LINK = _QUERIES["offer_link"]
TAKE_LINK = _QUERIES["take_link"]
SESSION_PREFIX = "vs_"
SESSION_LIFE = timedelta(days=7)
LINK_LIFE = timedelta(hours=1)


def new_session() -> Secret:
    """Make the token of a session, as a key is made; it begins with `vs_`."""
    return _new(SESSION_PREFIX)


def is_session(token: str) -> bool:
    """Whether a text can be the token of a session at all, without asking the database."""
    return _fits(token, SESSION_PREFIX)


async def open_session(
    connection: Connection, principal: Principal, key_id: int | None, time: datetime
) -> Secret:
    """Sign a browser in and return its cookie, always a new one."""
    token = new_session()
    await queries.run(
        connection,
        OPEN_SESSION,
        hash=hash_of(token.reveal()),
        key_id=key_id,
        name=principal.name,
        role=principal.role.value,
        time=time,
        expires_at=time + SESSION_LIFE,
    )
    return token


async def find_session(connection: Connection, token: str, time: datetime) -> Principal | None:
    """Return who a cookie stands for, unless it has expired or its key was revoked."""
    if not is_session(token):
        return None
    return await queries.first(connection, Principal, FIND_SESSION, hash=hash_of(token), time=time)


async def close_session(connection: Connection, token: str) -> None:
    """Sign a browser out."""
    await queries.run(connection, CLOSE_SESSION, hash=hash_of(token))


async def close_sessions(connection: Connection, name: str | None) -> int:
    """Sign out every browser of one holder, or of all; return how many there were."""
    return await queries.run(connection, CLOSE_SESSIONS, name=name)


async def drop_expired(connection: Connection, time: datetime) -> None:
    """Delete sessions and links that are past their time."""
    await queries.run(connection, DROP_EXPIRED, time=time)


async def offer_link(connection: Connection, time: datetime) -> Secret:
    """Make a token that signs one browser in as admin, once, within the hour."""
    token = secrets.token_urlsafe(32)
    await queries.run(connection, OFFER_LINK, hash=hash_of(token), expires_at=time + LINK_LIFE)
    return Secret(token)


async def take_link(connection: Connection, token: str, time: datetime) -> bool:
    """Use up a link's token; False when there is no such token any more."""
    return bool(await queries.run(connection, TAKE_LINK, hash=hash_of(token), time=time))
