"""Browser sessions and sign-in links. Only the SHA-256 hashes of their tokens are stored."""

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
    """Return a new session token: like a key, but with the prefix `vs_`."""
    return _new(SESSION_PREFIX)


def is_session(token: str) -> bool:
    """Return whether a text has the form and checksum of a session token, without a look-up."""
    return _fits(token, SESSION_PREFIX)


async def open_session(
    connection: Connection, principal: Principal, key_id: int | None, time: datetime
) -> Secret:
    """Open a session; return the token for its cookie, which is always a new one."""
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
    """Return the principal of a session; None if it has expired or its key was revoked."""
    if not is_session(token):
        return None
    return await queries.first(connection, Principal, FIND_SESSION, hash=hash_of(token), time=time)


async def close_session(connection: Connection, token: str) -> None:
    """End a session."""
    await queries.run(connection, CLOSE_SESSION, hash=hash_of(token))


async def close_sessions(connection: Connection, name: str | None) -> int:
    """End the sessions of one name, or all; return their number."""
    return await queries.run(connection, CLOSE_SESSIONS, name=name)


async def drop_expired(connection: Connection, time: datetime) -> None:
    """Delete expired sessions and links."""
    await queries.run(connection, DROP_EXPIRED, time=time)


async def offer_link(connection: Connection, time: datetime) -> Secret:
    """Create a link token that signs in one browser as admin, once, within LINK_LIFE."""
    token = secrets.token_urlsafe(32)
    await queries.run(connection, OFFER_LINK, hash=hash_of(token), expires_at=time + LINK_LIFE)
    return Secret(token)


async def take_link(connection: Connection, token: str, time: datetime) -> bool:
    """Consume a link token; return False if it is unknown, used or expired."""
    return bool(await queries.run(connection, TAKE_LINK, hash=hash_of(token), time=time))
