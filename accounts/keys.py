"""Keys of programs and people. Only the SHA-256 hash of a key is stored."""

from collections.abc import Sequence
from datetime import datetime

import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from accounts.tokens import _fits, _new, hash_of
from audit import log as audit_log
from audit.log import Type
from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError, NotFoundError
from model.principal import Principal, Role
from model.series import labels_of
from model.text import UNSAFE_WORDS, clean
from runtime.settings import Secret

_QUERIES = queries.load(__file__)
CREATE = _QUERIES["create"]
LIST = _QUERIES["list"]
REVOKE = _QUERIES["revoke"]
FIND = _QUERIES["find"]
FIND_VALID = _QUERIES["find_valid"]
HAS_ADMIN = _QUERIES["has_admin"]
PREFIX = "vg_"
SHOWN_CHARS = 8


class Key(Struct, frozen=True):
    """A key without its secret text."""

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
    """The name and role of a key, and what an ingest key is bound to."""

    id: int
    name: str
    role: Role
    component: str | None
    labels: dict[str, str]

    def principal(self) -> Principal:
        return Principal(self.name, self.role, self.component, labels_of(self.labels))


class Bound(Struct, frozen=True):
    """Limits of an ingest key: the only component that it may write, and labels of its series."""

    component: str | None = None
    labels: dict[str, str] = {}


def new_key() -> Secret:
    """Return a new key: `vg_`, 30 random characters (178 bits), and a checksum of 6 characters.

    The checksum reveals typing errors and made-up keys without a look-up.
    """
    return _new(PREFIX)


def is_well_formed(key: str) -> bool:
    """Return whether a text has the form and checksum of a key, without a look-up."""
    return _fits(key, PREFIX)


async def create(
    connection: Connection,
    name: str,
    role: Role,
    time: datetime,
    actor: str,
    bound: Bound = Bound(),  # noqa: B008 (it cannot be changed)
) -> tuple[Key, Secret]:
    """Create a key; return it with its secret text, which is not stored.

    Raises ConflictError if the name is taken. Raises InvalidError if a key of another role than
    ingest is bound, and if a name or component is empty or has unsafe characters.
    """
    _check_text("name", name)
    if bound.component is not None:
        _check_text("component", bound.component)
    if bound != Bound() and role is not Role.INGEST:
        raise InvalidError("only a key with the role ingest can be bound to a component or labels")
    kind = Type.ADMIN_CREATED if role is Role.ADMIN else Type.KEY_CREATED
    event = audit_log.Event(time, kind, actor, detail=f"{name} ({role})")
    async with connection.transaction():
        made = await _create(connection, name, role, time, actor, bound)
        await audit_log.log(connection, event)
    return made


def _check_text(what: str, text: str) -> None:
    if not text.strip() or clean(text) != text:
        raise InvalidError(f"the {what} of a key must not be empty or contain {UNSAFE_WORDS}")


async def create_first(connection: Connection, name: str, time: datetime) -> Secret | None:
    """Create an admin key if there is none; return None otherwise.

    Its audit type raises no alert, because nobody could receive one yet.
    """
    async with connection.transaction():
        if await queries.value(connection, HAS_ADMIN):
            return None
        _, secret = await _create(connection, name, Role.ADMIN, time, name, Bound())
        await audit_log.log(connection, audit_log.Event(time, Type.FIRST_ADMIN_CREATED, name))
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
        raise ConflictError(
            f"a key named {name!r} already exists; revoke it, or choose another name"
        ) from None
    assert key is not None  # noqa: S101 (INSERT … RETURNING gives its row)
    return key, secret


async def list_all(connection: Connection) -> list[Key]:
    """Return all keys, including revoked ones, oldest first."""
    return await queries.rows(connection, Key, LIST)


async def revoke(connection: Connection, name: str, time: datetime, actor: str) -> None:
    """Revoke a key, which also ends the sessions opened with it. Raises NotFoundError."""
    async with connection.transaction():
        if not await queries.run(connection, REVOKE, name=name, time=time):
            raise NotFoundError(
                f"there is no valid key named {name!r}; `vigia keys list` shows all keys"
            )
        event = audit_log.Event(time, Type.KEY_REVOKED, actor, detail=name)
        await audit_log.log(connection, event)


async def find(connection: Connection, text: str) -> Holder | None:
    """Return the holder of a key; None if the key is not valid."""
    if not is_well_formed(text):
        return None
    return await queries.first(connection, Holder, FIND, hash=hash_of(text))


async def find_valid(connection: Connection, hashes: Sequence[bytes]) -> set[bytes]:
    """Return the hashes among the given ones that belong to valid keys."""
    return set(await queries.value(connection, FIND_VALID, hashes=list(hashes)))
