"""All rules at once: how those that are wanted differ from those that are, and making them so."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from db import alerts, evaluation, events, queries, rules, security
from db.queries import Connection
from db.rules import Rule, columns, duration_of, of_columns
from vigia.model import ConflictError, InvalidError

_QUERIES = queries.load("rule_set")
STRAYS = _QUERIES["strays"]
QUESTIONS = _QUERIES["questions"]
TOO_LONG = _QUERIES["too_long"]

QUESTIONS_MAX = 50


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


class _Questions(Struct, frozen=True):
    """How many rules ask questions of their own, for how many metrics, and whether any may."""

    count: int
    metrics: int
    is_embedded: bool


async def become(
    connection: Connection, wanted: Sequence[Rule], time: datetime, actor: str, *, prune: bool
) -> Difference:
    """Make the rules those that are wanted, and return what that changed.

    In the caller's transaction; nobody evaluates, and nobody else changes rules, before its end.
    """
    await evaluation.lock(connection)
    difference = await compare(connection, wanted, prune=prune)
    if difference:
        await _apply(connection, difference, time, actor)
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
    await evaluation.lock(connection)
    if not await rules.insert(connection, rule, time, actor):
        return False
    await _tell(connection, time, actor, [f"{rule.name} made"])
    await check(connection, [rule.name])
    return True


async def replace(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule of this name; False when there is none."""
    await evaluation.lock(connection)
    before = await rules.read(connection, rule.name)
    if not before:
        return False
    await rules.update(connection, rule, time, actor)
    changed = ", ".join(_fields(before[0].rule, rule)) or "nothing"
    await _tell(connection, time, actor, [f"{rule.name} changed: {changed}"])
    await check(connection, [rule.name])
    return True


async def remove(connection: Connection, name: str, time: datetime, actor: str) -> list[int] | None:
    """Delete a rule and resolve what it has raised, with audit and events.

    Returns the alerts; None when there is no rule of this name.
    """
    await evaluation.lock(connection)
    if not await rules.read(connection, name):
        return None
    resolved = await _remove(connection, [name], time, actor)
    await check(connection, [name])
    return resolved


async def check(connection: Connection, names: Collection[str]) -> None:
    """Refuse what was changed of some rules in this transaction if they do not go together.

    What is wrong with others stays; nobody else may change rules before the transaction ends.
    """
    await _check_references(connection, names)
    await _check_questions(connection, names)
    for one in await queries.rows(connection, _Long, TOO_LONG, names=list(names)):
        raise InvalidError(
            f"{one.name}: window and offset reach further back than minutes are kept, "
            f"{duration_of(one.kept_s)}; see retention.rollup_1m_days"
        )


async def _check_references(connection: Connection, names: Collection[str]) -> None:
    strays = await queries.rows(connection, Stray, STRAYS, names=list(names))
    if strays:
        told = ", ".join(f"{stray.composite} names {stray.name}" for stray in strays[:10])
        raise ConflictError(f"a composite names rules that are there, and no composites: {told}")


async def _check_questions(connection: Connection, names: Collection[str]) -> None:
    found = await queries.first(connection, _Questions, QUESTIONS, names=list(names))
    if found is None:
        return
    if found.is_embedded:
        raise ConflictError(
            "rules of kind 'sql' need a TimescaleDB server (VIGIA_DATABASE_URL): "
            "nothing interrupts a question that the embedded engine was asked"
        )
    if found.count > QUESTIONS_MAX:
        raise ConflictError(f"there may be {QUESTIONS_MAX} rules of kind 'sql'")
    if found.count > found.metrics:
        raise ConflictError("metric: another rule of kind 'sql' has its answers under this name")


async def _apply(
    connection: Connection, difference: Difference, time: datetime, actor: str
) -> None:
    changed = [change.rule for change in difference.changed]
    is_done = [await rules.update(connection, rule, time, actor) for rule in changed]
    is_done += [await rules.insert(connection, rule, time, actor) for rule in difference.added]
    if not all(is_done):
        raise ConflictError("somebody else has changed the rules meanwhile: try again")
    told = [f"{one.rule.name} changed: {', '.join(one.fields)}" for one in difference.changed]
    told += [f"{rule.name} made" for rule in difference.added]
    await _tell(connection, time, actor, told)
    if difference.removed:
        await _remove(connection, difference.removed, time, actor)
    touched = [*changed, *difference.added]
    await check(connection, [*(rule.name for rule in touched), *difference.removed])


async def _remove(
    connection: Connection, names: Sequence[str], time: datetime, actor: str
) -> list[int]:
    ids = await alerts.resolve_of_rules(connection, names, time, actor)
    await rules.delete(connection, names)
    await _tell(connection, time, actor, [f"{name} deleted" for name in names])
    resolved = await alerts.read(connection, ids)
    await events.append(connection, time, alerts.news(resolved))
    return ids


async def _tell(connection: Connection, time: datetime, actor: str, told: Sequence[str]) -> None:
    changed = security.Type.RULE_CHANGED
    lines = [security.Event(time, changed, actor, detail=detail) for detail in told]
    await security.log(connection, *lines)


def _fields(old: Rule, new: Rule) -> dict[str, Field]:
    """Compare as the table keeps them: `60s` is `1m`."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(of_columns(columns(new)))
    return {
        name: Field(before[name], value) for name, value in after.items() if before[name] != value
    }
