"""Stores and reads alert rules."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from psycopg.types.json import Jsonb

from alerts.rules.model import RULES_MAX, Rule, columns, of_columns
from db import queries
from db.queries import Connection
from model.errors import ConflictError

_QUERIES = queries.load(__file__)
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
DELETE = _QUERIES["delete"]
READ = _QUERIES["read"]
MARK_BUILT_IN = _QUERIES["mark_built_in"]
BUILT_IN_BY = "vigia"


class StoredRule(Struct, frozen=True):
    """A stored rule, who last changed it, and, if it is quarantined, why and since when."""

    id: int
    rule: Rule
    error: str | None
    error_at: datetime | None
    updated_at: datetime
    updated_by: str

    @property
    def state(self) -> Literal["ok", "error", "off"]:
        if not self.rule.enabled:
            return "off"
        return "ok" if self.error is None else "error"


async def insert(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Insert a rule; return False if its name is taken."""
    return bool(await queries.run(connection, INSERT, **_parameters(rule, time, actor)))


async def insert_built_in(connection: Connection, rule: Rule, time: datetime) -> None:
    """Insert a built-in rule, unless it was inserted before, even if it was deleted since."""
    if await queries.run(connection, MARK_BUILT_IN, name=rule.name):
        await insert(connection, rule, time, BUILT_IN_BY)


async def update(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule with this name; return False if there is none."""
    return bool(await queries.run(connection, UPDATE, **_parameters(rule, time, actor)))


async def delete(connection: Connection, names: Collection[str]) -> int:
    """Delete rules by name; return how many were deleted."""
    return await queries.run(connection, DELETE, names=list(names))


async def read(connection: Connection, *names: str) -> list[StoredRule]:
    """Return the rules with these names, oldest first."""
    return await _read(connection, list(names), after=0, limit=RULES_MAX)


async def read_page(
    connection: Connection, *, after: int = 0, limit: int = RULES_MAX
) -> list[StoredRule]:
    """Return rules whose id is greater than `after`, oldest first."""
    return await _read(connection, None, after=after, limit=limit)


async def _read(
    connection: Connection, names: list[str] | None, after: int, limit: int
) -> list[StoredRule]:
    # None means every name. An empty list means no name, and reads nothing.
    found = await queries.rows(
        connection, dict[str, Any], READ, names=names, after=after, limit=limit
    )
    return [
        StoredRule(
            row.pop("id"),
            error=row.pop("error"),
            error_at=row.pop("error_at"),
            updated_at=row.pop("updated_at"),
            updated_by=row.pop("updated_by"),
            rule=of_columns(row),
        )
        for row in found
    ]


async def read_all(connection: Connection) -> list[Rule]:
    """Return every rule. Raises ConflictError if there are more than RULES_MAX."""
    found = await read_page(connection, limit=RULES_MAX + 1)
    if len(found) > RULES_MAX:
        raise ConflictError(
            f"there are more than {RULES_MAX:,} rules, the most that one file may hold; delete some"
        )
    return [stored.rule for stored in found]


async def named(connection: Connection, names: Collection[str]) -> list[Rule]:
    """Return the rules with these names."""
    return [stored.rule for stored in await read(connection, *names)]


def _parameters(rule: Rule, time: datetime, actor: str) -> dict[str, Any]:
    row = columns(rule)
    for name in ("labels", "levels", "recovery"):
        row[name] = None if row[name] is None else Jsonb(row[name])
    return {**row, "time": time, "actor": actor}
