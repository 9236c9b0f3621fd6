"""Stores escalation policies."""

from datetime import datetime
from typing import Any, Literal

import msgspec
import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.times import duration_text, whole_seconds
from notifications import channel_store
from notifications.oncall.escalation import Policy, Step

_QUERIES = queries.load(__file__)
LOCK_TABLE = _QUERIES["lock_table"]
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
DELETE = _QUERIES["delete"]
READ = _QUERIES["read"]
NAMES = _QUERIES["names"]
NAMING = _QUERIES["naming"]
MISSING = _QUERIES["missing"]

POLICIES_MAX = 200
PREVIEW = "preview"
"""Reserved as a name, because the paths of previews end with it beside routes and policies."""
SHOWN_MAX = 10
NOUNS = {"person": "contact", "schedule": "schedule", "channel": "channel"}


class StoredPolicy(Policy, frozen=True, kw_only=True):
    """A policy as it is stored."""

    id: int
    updated_at: datetime
    updated_by: str

    def policy(self) -> Policy:
        """Return the policy without its metadata."""
        return Policy(**{name: getattr(self, name) for name in Policy.__struct_fields__})


class _Row(Struct, frozen=True, kw_only=True):
    id: int
    name: str
    title: str
    steps: list[Step]
    repeat: int
    acknowledgement_expires_s: int
    updated_at: datetime
    updated_by: str

    def stored(self) -> StoredPolicy:
        fields = msgspec.structs.asdict(self)
        expires = duration_text(fields.pop("acknowledgement_expires_s"))
        return StoredPolicy(acknowledgement_expires=expires, **fields)


class _Target(Struct, frozen=True):
    kind: str
    name: str


def check_name(name: str) -> None:
    """Refuse a name that no route or policy may have. Raises InvalidError."""
    if name == PREVIEW:
        raise InvalidError(
            f"name: {PREVIEW!r} is reserved for the path of previews; choose another name"
        )


async def insert(connection: Connection, policy: Policy, now: datetime, actor: str) -> None:
    """Store a new policy.

    Raises InvalidError if its name is reserved or a target does not exist, and ConflictError if the
    name is taken or there are too many policies.
    """
    check_name(policy.name)
    await _check(connection, policy)
    if len(await names(connection)) >= POLICIES_MAX:
        raise ConflictError(f"there are already {POLICIES_MAX} policies; delete one first")
    try:
        await queries.run(connection, INSERT, **_parameters(policy), now=now, actor=actor)
    except psycopg.errors.UniqueViolation:
        raise ConflictError(
            f"a policy named {policy.name!r} already exists; choose another name"
        ) from None


async def update(connection: Connection, policy: Policy, now: datetime, actor: str) -> None:
    """Replace the policy with this name. Raises InvalidError if a target does not exist.

    Running escalations keep the policy that they started with.
    """
    await _check(connection, policy)
    await queries.run(connection, UPDATE, **_parameters(policy), now=now, actor=actor)


async def delete(connection: Connection, name: str) -> None:
    """Delete a policy. Raises ConflictError if a route uses it."""
    try:
        await queries.run(connection, DELETE, name=name)
    except psycopg.errors.ForeignKeyViolation:
        raise ConflictError(
            f"a route leads to the policy {name!r}; change the route first"
        ) from None


async def read_all(
    connection: Connection, after: int = 0, limit: int | None = None
) -> list[StoredPolicy]:
    """Return policies in the order of their creation, from after a number."""
    found = await queries.rows(connection, _Row, READ, name=None, after=after, limit=limit)
    return [row.stored() for row in found]


async def read(connection: Connection, name: str) -> StoredPolicy | None:
    """Return the policy with a name, or None."""
    found = await queries.first(connection, _Row, READ, name=name, after=0, limit=1)
    return found.stored() if found else None


async def names(connection: Connection) -> list[str]:
    """Return the names of all policies."""
    cursor = await connection.execute(NAMES)
    return [name for (name,) in await cursor.fetchall()]


async def naming(
    connection: Connection, kind: Literal["person", "schedule", "channel"], target: str
) -> list[str]:
    """Return the names of the policies that have a person, schedule or channel as a target."""
    cursor = await connection.execute(NAMING, {"kind": kind, "target": target})
    return [name for (name,) in await cursor.fetchall()]


async def keep(connection: Connection) -> None:
    """Lock the table of policies against changes until the transaction ends.

    Reads are not blocked.
    """
    await queries.run(connection, LOCK_TABLE)


async def check_unnamed(
    connection: Connection, kind: Literal["person", "schedule", "channel"], target: str
) -> None:
    """Raise ConflictError if a policy has a person, schedule or channel as a target.

    The lock lasts until the transaction ends, so no policy can add the target between this check
    and its deletion.
    """
    await keep(connection)
    if found := await naming(connection, kind, target):
        shown = ", ".join(found[:SHOWN_MAX])
        raise ConflictError(f"{target} is a target of the policy {shown}; remove it there first")


async def _check(connection: Connection, policy: Policy) -> None:
    # Lock first: a target that exists now must not be deleted before the policy is stored.
    await keep(connection)
    targets = [target for step in policy.steps for target in step.targets]
    missing = await queries.rows(
        connection,
        _Target,
        MISSING,
        kinds=[target.kind for target in targets],
        names=[target.name for target in targets],
    )
    if missing:
        first = missing[0]
        raise InvalidError(f"steps: there is no {NOUNS[first.kind]} {first.name!r}")
    channels = [target.name for target in targets if target.kind == "channel"]
    await channel_store.check_take_alerts(connection, "steps", channels)


def _parameters(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "title": policy.title,
        "steps": Jsonb(policy.steps),
        "repeat": policy.repeat,
        "acknowledgement_expires_s": whole_seconds(policy.acknowledgement_expires),
    }
