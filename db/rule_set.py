"""All rules at once: how those that are wanted differ from those that are, and making them so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from db import alerts, evaluation, events, rules, security
from db.queries import Connection
from db.rules import Rule, columns, of_columns


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


async def compare(connection: Connection, wanted: Sequence[Rule], *, prune: bool) -> Difference:
    """Return what would change; with `prune`, rules that are not wanted are to go."""
    present = {stored.rule.name: stored.rule for stored in await rules.read(connection)}
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


async def apply(connection: Connection, difference: Difference, time: datetime, actor: str) -> None:
    """Make the changes in the caller's transaction; nobody evaluates meanwhile."""
    await evaluation.lock(connection)
    for change in difference.changed:
        await rules.update(connection, change.rule, time, actor)
    for rule in difference.added:
        await rules.insert(connection, rule, time, actor)
    told = [f"{one.rule.name} changed: {', '.join(one.fields)}" for one in difference.changed]
    told += [f"{rule.name} made" for rule in difference.added]
    await _tell(connection, time, actor, told)
    await remove(connection, difference.removed, time, actor)
    await rules.check(connection)


async def make(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Make a rule; False when there is one of its name."""
    if not await rules.insert(connection, rule, time, actor):
        return False
    await _tell(connection, time, actor, [f"{rule.name} made"])
    await rules.check(connection)
    return True


async def replace(connection: Connection, rule: Rule, time: datetime, actor: str) -> bool:
    """Replace the rule of this name; False when there is none."""
    before = await rules.read(connection, rule.name)
    if not before:
        return False
    await rules.update(connection, rule, time, actor)
    changed = ", ".join(_fields(before[0].rule, rule)) or "nothing"
    await _tell(connection, time, actor, [f"{rule.name} changed: {changed}"])
    await rules.check(connection)
    return True


async def remove(
    connection: Connection, names: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Delete rules and resolve what they have raised, with audit and events; return the alerts."""
    ids = []
    for name in names:
        ids += await alerts.resolve_rule(connection, name, time, actor)
        await rules.delete(connection, name)
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
