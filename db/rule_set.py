"""All rules at once: how those that are wanted differ from those that are, and making them so."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from db import alerts, evaluation, events, rules
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
    await remove(connection, difference.removed, time, actor)
    await rules.check(connection)


async def remove(
    connection: Connection, names: Sequence[str], time: datetime, actor: str
) -> list[int]:
    """Delete rules and resolve what they have raised, with audit and events; return the alerts."""
    ids = []
    for name in names:
        ids += await alerts.resolve_rule(connection, name, time, actor)
        await rules.delete(connection, name)
    resolved = await alerts.read(connection, ids)
    if resolved:
        await events.append(connection, time, [("alert_resolved", one) for one in resolved])
    return ids


def _fields(old: Rule, new: Rule) -> dict[str, Field]:
    """Compare as the table keeps them: `60s` is `1m`."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(of_columns(columns(new)))
    return {
        name: Field(before[name], value) for name, value in after.items() if before[name] != value
    }
