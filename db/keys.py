"""Keys, sessions and sign-in links: random texts of which only the SHA-256 is kept."""

import hashlib
import secrets
import string
import zlib
from datetime import datetime, timedelta

import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries, security
from db.queries import Connection
from db.security import Type
from vigia.model import ConflictError, InvalidError, NotFoundError, Principal, Role, labels_of
from vigia.settings import Secret

_QUERIES = queries.load("keys")
CREATE = _QUERIES["create"]
LIST = _QUERIES["list"]
REVOKE = _QUERIES["revoke"]
FIND = _QUERIES["find"]
HAS_ADMIN = _QUERIES["has_admin"]
OPEN_SESSION = _QUERIES["open_session"]
FIND_SESSION = _QUERIES["find_session"]
CLOSE_SESSION = _QUERIES["close_session"]
CLOSE_SESSIONS = _QUERIES["close_sessions"]
DROP_EXPIRED = _QUERIES["drop_expired"]
OFFER_LINK = _QUERIES["offer_link"]
TAKE_LINK = _QUERIES["take_link"]

BASE62 = string.digits + string.ascii_letters
PREFIX = "vg_"
RANDOM_CHARS = 30
CHECKSUM_CHARS = 6
SHOWN_CHARS = 8
SESSION_LIFE = timedelta(days=7)
LINK_LIFE = timedelta(hours=1)


class Key(Struct, frozen=True):
    """A key without its text."""

    id: int
    name: str
    role: Role
    component: str | None
    labels: dict[str, str]
    prefix: str
    created_at: datetime
    created_by: str
    revoked_at: datetime | None


class Holder(Struct, frozen=True):
    """Whose key it is, and what an ingest key is bound to."""

    id: int
    name: str
    role: Role
    component: str | None
    labels: dict[str, str]

    def principal(self) -> Principal:
        return Principal(self.name, self.role, self.component, labels_of(self.labels))


class Bound(Struct, frozen=True):
    """What an ingest key may write: one component, or any; and the labels of its series."""

    component: str | None = None
    labels: dict[str, str] = {}


def new_key() -> Secret:
    """Make a key: `vg_`, 30 random characters (178 bits), 6 of checksum to tell typing errors."""
    body = "".join(secrets.choice(BASE62) for _ in range(RANDOM_CHARS))
    return Secret(PREFIX + body + _checksum(body))


def is_well_formed(key: str) -> bool:
    """Whether a text can be one of our keys at all, without asking the database."""
    body = key.removeprefix(PREFIX)
    fits = key.startswith(PREFIX) and len(body) == RANDOM_CHARS + CHECKSUM_CHARS
    return fits and body.isascii() and _checksum(body[:RANDOM_CHARS]) == body[RANDOM_CHARS:]


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


async def create(
    connection: Connection,
    name: str,
    role: Role,
    time: datetime,
    actor: str,
    bound: Bound = Bound(),  # noqa: B008 (it cannot be changed)
) -> tuple[Key, Secret]:
    """Make a key and return it with its text, which is nowhere else.

    Raises ConflictError for a name that is taken, InvalidError for a bound key of another role.
    """
    if bound != Bound() and role is not Role.INGEST:
        raise InvalidError("only a key with the role ingest can be bound to a component or labels")
    kind = Type.ADMIN_CREATED if role is Role.ADMIN else Type.KEY_CREATED
    told = security.Event(time, kind, actor, detail=f"{name} ({role})")
    async with connection.transaction():
        made = await _create(connection, name, role, time, actor, bound)
        await security.log(connection, told)
    return made


async def create_first(connection: Connection, name: str, time: datetime) -> Secret | None:
    """Make an admin's key where nobody has one, and so nobody needs to be told of another."""
    async with connection.transaction():
        if await queries.value(connection, HAS_ADMIN):
            return None
        _, secret = await _create(connection, name, Role.ADMIN, time, name, Bound())
        await security.log(connection, security.Event(time, Type.FIRST_ADMIN_CREATED, name))
    return secret


async def _create(
    connection: Connection, name: str, role: Role, time: datetime, actor: str, bound: Bound
) -> tuple[Key, Secret]:
    secret = new_key()
    try:
        key = await queries.first(
            connection,
            Key,
            CREATE,
            name=name,
            role=role.value,
            component=bound.component,
            labels=Jsonb(bound.labels),
            hash=hash_of(secret.reveal()),
            prefix=secret.reveal()[:SHOWN_CHARS],
            time=time,
            actor=actor,
        )
    except psycopg.errors.UniqueViolation:
        raise ConflictError(f"there is a key named {name!r}; revoke it or choose a name") from None
    assert key is not None  # noqa: S101 (INSERT … RETURNING gives its row)
    return key, secret


async def list_all(connection: Connection) -> list[Key]:
    """Return every key, revoked ones too, oldest first."""
    return await queries.rows(connection, Key, LIST)


async def revoke(connection: Connection, name: str, time: datetime, actor: str) -> None:
    """End a key and the sessions opened with it. Raises NotFoundError."""
    async with connection.transaction():
        if not await queries.run(connection, REVOKE, name=name, time=time):
            raise NotFoundError(f"there is no valid key named {name!r}")
        event = security.Event(time, Type.KEY_REVOKED, actor, detail=name)
        await security.log(connection, event)


async def find(connection: Connection, text: str) -> Holder | None:
    """Return whose key this is, if it is valid."""
    if not is_well_formed(text):
        return None
    return await queries.first(connection, Holder, FIND, hash=hash_of(text))


async def open_session(
    connection: Connection, principal: Principal, key_id: int | None, time: datetime
) -> Secret:
    """Sign a browser in and return its cookie, always a new one."""
    token = secrets.token_urlsafe(32)
    await queries.run(
        connection,
        OPEN_SESSION,
        hash=hash_of(token),
        key_id=key_id,
        name=principal.name,
        role=principal.role.value,
        time=time,
        expires_at=time + SESSION_LIFE,
    )
    return Secret(token)


async def find_session(connection: Connection, token: str, time: datetime) -> Principal | None:
    """Return who a cookie stands for, unless it has expired or its key was revoked."""
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
