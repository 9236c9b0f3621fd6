"""Silences: for a limited time, matching alerts notify nobody."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from alerts.store import ID_MAX
from alerts.suppression.suppress import Matcher
from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
FINISH = _QUERIES["finish"]
READ = _QUERIES["read"]


class Terms(Struct, frozen=True):
    """The alerts that a silence covers, from when to when, and why."""

    matcher: Matcher
    starts_at: datetime
    ends_at: datetime
    comment: str


class Silence(Terms, frozen=True):
    """A stored silence, who created it, who last changed it, and its state."""

    id: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    state: Literal["pending", "active", "ended"]


async def insert(connection: Connection, terms: Terms, at: datetime, actor: str) -> int:
    """Insert a silence and return its id."""
    number: int = await queries.value(connection, INSERT, **_parameters(terms), at=at, actor=actor)
    return number


async def update(
    connection: Connection, number: int, terms: Terms, at: datetime, actor: str
) -> bool:
    """Change a silence; return False if there is none with this id or it has ended."""
    return bool(
        await queries.run(connection, UPDATE, id=number, **_parameters(terms), at=at, actor=actor)
    )


async def finish(connection: Connection, number: int, at: datetime, actor: str) -> bool:
    """End a silence now; return False if there is none with this id or it has ended."""
    return bool(await queries.run(connection, FINISH, id=number, at=at, actor=actor))


async def read(
    connection: Connection,
    at: datetime,
    number: int | None = None,
    *,
    active: bool = False,
    before: int = ID_MAX,
    limit: int = 1,
) -> list[Silence]:
    """Return silences with their state at a time, newest first."""
    return await queries.rows(
        connection, Silence, READ, at=at, id=number, active=active, before=before, limit=limit
    )


def _parameters(terms: Terms) -> dict[str, Any]:
    return {**msgspec.structs.asdict(terms), "matcher": Jsonb(msgspec.to_builtins(terms.matcher))}
