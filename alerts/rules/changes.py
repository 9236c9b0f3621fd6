"""Changes of rules: compares wanted with stored rules, applies the difference, and checks it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from alerts import clock
from alerts import store as alerts
from alerts.announcing import OnTransitions, announce
from alerts.rules import store as rules
from alerts.rules.model import Rule, columns, of_columns
from audit import log as audit_log
from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.times import duration_text

_QUERIES = queries.load(__file__)
STRAYS = _QUERIES["strays"]
SQL_RULES = _QUERIES["sql_rules"]
TOO_LONG = _QUERIES["too_long"]

SQL_RULES_MAX = 50


class Field(Struct, frozen=True):
    """The old and the new value of a field."""

    old: Any
    new: Any


class Change(Struct, frozen=True):
    """A rule to replace, and the fields that change."""

    rule: Rule
    fields: dict[str, Field]


class Difference(Struct, frozen=True):
    """The rules to add, to change and to remove, so that stored rules equal wanted ones."""

    added: list[Rule]
    changed: list[Change]
    removed: list[str]

    def __bool__(self) -> bool:
        """Return whether there is any difference."""
        return bool(self.added or self.changed or self.removed)


class Stray(Struct, frozen=True):
    """A name in a composite that belongs to no rule or to another composite."""

    composite: str
    name: str


class _Long(Struct, frozen=True):
    """A rule whose window reaches further back than the 1m tier is kept."""

    name: str
    kept_s: int


class _SqlRules(Struct, frozen=True):
    """The number of SQL rules and of their metrics, and whether the engine forbids them."""

    count: int
    metrics: int
    is_embedded: bool


async def become(
    connection: Connection,
    wanted: Sequence[Rule],
    time: datetime,
    actor: str,
    *,
    prune: bool,
    on_transitions: Sequence[OnTransitions],
) -> Difference:
    """Make the stored rules equal to the wanted ones; return the difference.

    Runs in the caller's transaction, with the evaluation clock locked until its end. Raises
    ConflictError or InvalidError if the new rules contradict each other or the settings.
    """
    await clock.lock(connection)
    difference = await compare(connection, wanted, prune=prune)
    if difference:
        await _apply(connection, difference, time, actor, on_transitions)
    return difference


async def compare(connection: Connection, wanted: Sequence[Rule], *, prune: bool) -> Difference:
    """Return what would change; with `prune`, rules that are not wanted would be removed."""
    present = {rule.name: rule for rule in await rules.read_all(connection)}
    changes = [
        Change(rule, fields)
        for rule in wanted
        if rule.name in present and (fields := _fields(present[rule.name], rule))
    ]
    names = {rule.name for rule in wanted}
    return Difference(
        added=[rule for rule in wanted if rule.name not in present],
        changed=changes,
        removed=[name for name in present if name not in names] if prune else [],
    )


async def make(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Create a rule; return False if its name is taken. Raises as `check` does."""
    await clock.lock(connection)
    if not await rules.insert(connection, rule, time, actor):
        return False
    await _audit(connection, time, actor, [f"{rule.name} created"])
    await check(connection, [rule.name])
    return True


async def replace(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule with this name; return False if there is none. Raises as `check` does."""
    await clock.lock(connection)
    before = await rules.read(connection, rule.name)
    if not before:
        return False
    await rules.update(connection, rule, time, actor)
    changed = ", ".join(_fields(before[0].rule, rule)) or "nothing"
    await _audit(connection, time, actor, [f"{rule.name} changed: {changed}"])
    await check(connection, [rule.name])
    return True


async def remove(
    connection: Connection,
    name: str,
    time: datetime,
    actor: str,
    on_transitions: Sequence[OnTransitions],
) -> list[int] | None:
    """Delete a rule and resolve its open alerts, with audit and events.

    Returns the ids of these alerts, or None if there is no rule with this name.
    """
    await clock.lock(connection)
    if not await rules.read(connection, name):
        return None
    resolved = await _remove(connection, [name], time, actor, on_transitions)
    await check(connection, [name])
    return resolved


async def check(connection: Connection, names: Collection[str]) -> None:
    """Check rules that this transaction changed against all other rules and the settings.

    Rules that were inconsistent before and are not named are ignored. The evaluation clock must be
    locked. Raises ConflictError for a reference that does not exist and for SQL rules that are not
    possible, InvalidError for a window longer than the retention.
    """
    await _check_references(connection, names)
    await _check_sql_rules(connection, names)
    for one in await queries.rows(connection, _Long, TOO_LONG, names=list(names)):
        raise InvalidError(
            f"{one.name}: window and offset together may not exceed {duration_text(one.kept_s)}, "
            "as long as the 1m tier is kept; shorten them or raise retention.rollup_1m_days"
        )


async def _check_references(connection: Connection, names: Collection[str]) -> None:
    strays = await queries.rows(connection, Stray, STRAYS, names=list(names))
    if strays:
        details = ", ".join(f"{stray.composite} references {stray.name}" for stray in strays[:10])
        raise ConflictError(
            f"a composite may reference only existing, non-composite rules; {details}"
        )


async def _check_sql_rules(connection: Connection, names: Collection[str]) -> None:
    found = await queries.first(connection, _SqlRules, SQL_RULES, names=list(names))
    if found is None:
        return
    if found.is_embedded:
        raise ConflictError(
            "rules of kind 'sql' need a TimescaleDB server (set VIGIA_DATABASE_URL): "
            "the embedded engine cannot interrupt a query"
        )
    if found.count > SQL_RULES_MAX:
        raise ConflictError(
            f"at most {SQL_RULES_MAX} rules of kind 'sql' are allowed; delete one first"
        )
    if found.count > found.metrics:
        raise ConflictError(
            "metric: another rule of kind 'sql' already stores its results in this metric; "
            "choose another name"
        )


async def _apply(
    connection: Connection,
    difference: Difference,
    time: datetime,
    actor: str,
    on_transitions: Sequence[OnTransitions],
) -> None:
    changed = [change.rule for change in difference.changed]
    is_done = [await rules.update(connection, rule, time, actor) for rule in changed]
    is_done += [await rules.insert(connection, rule, time, actor) for rule in difference.added]
    if not all(is_done):
        raise ConflictError("somebody else changed the rules at the same time; try again")
    details = [f"{one.rule.name} changed: {', '.join(one.fields)}" for one in difference.changed]
    details += [f"{rule.name} created" for rule in difference.added]
    await _audit(connection, time, actor, details)
    if difference.removed:
        await _remove(connection, difference.removed, time, actor, on_transitions)
    touched = [*changed, *difference.added]
    await check(connection, [*(rule.name for rule in touched), *difference.removed])


async def _remove(
    connection: Connection,
    names: Sequence[str],
    time: datetime,
    actor: str,
    on_transitions: Sequence[OnTransitions],
) -> list[int]:
    ids = await alerts.resolve_of_rules(connection, names, time, actor)
    await rules.delete(connection, names)
    await _audit(connection, time, actor, [f"{name} deleted" for name in names])
    await announce(connection, time, on_transitions, alert_ids=ids)
    return ids


async def _audit(
    connection: Connection, time: datetime, actor: str, details: Sequence[str]
) -> None:
    changed = audit_log.Type.RULE_CHANGED
    lines = [audit_log.Event(time, changed, actor, detail=detail) for detail in details]
    await audit_log.log(connection, *lines)


def _fields(old: Rule, new: Rule) -> dict[str, Field]:
    """Return the fields that differ. Compares as stored, so that `60s` equals `1m`."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(of_columns(columns(new)))
    return {
        name: Field(before[name], value) for name, value in after.items() if before[name] != value
    }
