"""All rules at once: how those that are wanted differ from those that are, and making them so."""

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
    """What a field was and is to be."""

    old: Any
    new: Any


class Change(Struct, frozen=True):
    """A rule that is to be another."""

    rule: Rule
    fields: dict[str, Field]


class Difference(Struct, frozen=True):
    """What makes the rules that are there the rules that are wanted."""

    added: list[Rule]
    changed: list[Change]
    removed: list[str]

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.added or self.changed or self.removed)


class Stray(Struct, frozen=True):
    """A name in a composite that is that of no rule, or of another composite."""

    composite: str
    name: str


class _Long(Struct, frozen=True):
    """A rule that looks further back than minutes are kept."""

    name: str
    kept_s: int


class _SqlRules(Struct, frozen=True):
    """How many SQL rules there are, for how many metrics, and whether any may be."""

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
    on_transitions: Sequence[OnTransitions] = (),
) -> Difference:
    """Make the rules those that are wanted, and return what that changed.

    In the caller's transaction; nobody evaluates, and nobody else changes rules, before its end.
    """
    await clock.lock(connection)
    difference = await compare(connection, wanted, prune=prune)
    if difference:
        await _apply(connection, difference, time, actor, on_transitions)
    return difference


async def compare(connection: Connection, wanted: Sequence[Rule], *, prune: bool) -> Difference:
    """Return what would change; with `prune`, rules that are not wanted are to go."""
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
    """Make a rule; False when there is one of its name."""
    await clock.lock(connection)
    if not await rules.insert(connection, rule, time, actor):
        return False
    await _audit(connection, time, actor, [f"{rule.name} made"])
    await check(connection, [rule.name])
    return True


async def replace(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule of this name; False when there is none."""
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
    on_transitions: Sequence[OnTransitions] = (),
) -> list[int] | None:
    """Delete a rule and resolve what it has raised, with audit and events.

    Returns the alerts; None when there is no rule of this name.
    """
    await clock.lock(connection)
    if not await rules.read(connection, name):
        return None
    resolved = await _remove(connection, [name], time, actor, on_transitions)
    await check(connection, [name])
    return resolved


async def check(connection: Connection, names: Collection[str]) -> None:
    """Refuse what was changed of some rules in this transaction if they do not go together.

    What is wrong with others stays; nobody else may change rules before the transaction ends.
    """
    await _check_references(connection, names)
    await _check_sql_rules(connection, names)
    for one in await queries.rows(connection, _Long, TOO_LONG, names=list(names)):
        raise InvalidError(
            f"{one.name}: window and offset reach further back than minutes are kept, "
            f"{duration_text(one.kept_s)}; see retention.rollup_1m_days"
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
            "rules of kind 'sql' need a TimescaleDB server (VIGIA_DATABASE_URL): "
            "nothing interrupts a query on the embedded engine"
        )
    if found.count > SQL_RULES_MAX:
        raise ConflictError(f"there may be {SQL_RULES_MAX} rules of kind 'sql'")
    if found.count > found.metrics:
        raise ConflictError("metric: another rule of kind 'sql' has its answers under this name")


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
        raise ConflictError("somebody else has changed the rules meanwhile: try again")
    details = [f"{one.rule.name} changed: {', '.join(one.fields)}" for one in difference.changed]
    details += [f"{rule.name} made" for rule in difference.added]
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
    """Compare as the table keeps them: `60s` is `1m`."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(of_columns(columns(new)))
    return {
        name: Field(before[name], value) for name, value in after.items() if before[name] != value
    }
