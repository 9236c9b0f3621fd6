"""Applies a file to the database: compares it with the stored state and writes the differences."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from alerts import clock
from audit import log as audit_log
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.toml import plain
from notifications.files.document import Document
from notifications.files.kinds import KINDS, SECRETS, Change, FileKind, normal, with_secrets

HIDDEN = "(not shown)"
PLACE = "position"


class FieldChange(Struct, frozen=True):
    """The old and the new value of a field. Addresses and secrets are hidden."""

    old: Any
    new: Any


class ThingChange(Struct, frozen=True):
    """The change of one object: `added`, `changed` in some fields, or `removed`."""

    kind: str
    name: str
    what: str
    fields: dict[str, FieldChange] = {}


async def read(connection: Connection) -> Document:
    """Return the stored state in the form of a file, without addresses and secrets of channels."""
    found = {kind.name: await kind.read(connection) for kind in KINDS}
    return msgspec.structs.replace(Document(), **found)


async def become(change: Change, wanted: Document, *, prune: bool) -> list[ThingChange]:
    """Change the stored state to that of a file and return the changes.

    It runs in the caller's transaction and locks the evaluation clock, so that no alert is routed
    meanwhile. Objects that the file lacks stay, or are deleted with `prune`. Raises InvalidError or
    ConflictError, which name the object.
    """
    await clock.lock(change.connection)
    present = await read(change.connection)
    changes: list[ThingChange] = []
    for kind in KINDS:
        changes += await _write(change, kind, getattr(present, kind.name), wanted)
    if prune:
        for kind in reversed(KINDS):
            changes += await _prune(change, kind, getattr(present, kind.name), wanted)
    return changes


async def _write(
    change: Change, kind: FileKind, present: Sequence[Any], wanted: Document
) -> list[ThingChange]:
    before = {one.name: one for one in present}
    order = [one.name for one in present]
    changes = []
    for place, thing in enumerate(map(normal, getattr(wanted, kind.name)), 1):
        if thing.name not in before:
            await _do(kind, thing, kind.insert(change, thing, place))
            made = ThingChange(kind.name, thing.name, "added")
        else:
            old = before[thing.name]
            known = await with_secrets(change, old, thing)
            fields = _fields(known, thing) | _moved(kind, order, thing.name, place)
            if not fields:
                continue
            await _do(kind, thing, kind.update(change, old, thing, place))
            made = ThingChange(kind.name, thing.name, "changed", fields)
        _move(order, thing.name, place)
        changes.append(made)
        await _log(change, kind, made)
    return changes


async def _prune(
    change: Change, kind: FileKind, present: Sequence[Any], wanted: Document
) -> list[ThingChange]:
    names = {one.name for one in getattr(wanted, kind.name)}
    changes = []
    for thing in present:
        if thing.name not in names:
            await _do(kind, thing, kind.delete(change, thing))
            changes.append(ThingChange(kind.name, thing.name, "removed"))
            await _log(change, kind, changes[-1])
    return changes


async def _do(kind: FileKind, thing: Any, doing: Any) -> None:
    try:
        await doing
    except (InvalidError, ConflictError) as error:
        raise type(error)(f"{kind.name} {thing.name}: {error}") from None


def _fields(old: Struct, new: Struct) -> dict[str, FieldChange]:
    changes = {}
    for field in msgspec.structs.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if field.name in SECRETS:
            if after not in {UNSET, before}:
                changes[field.name] = FieldChange(HIDDEN, HIDDEN)
        elif (shown := plain(before)) != (wanted := plain(after)):
            changes[field.encode_name] = FieldChange(shown, wanted)
    return changes


def _moved(kind: FileKind, order: list[str], name: str, place: int) -> dict[str, FieldChange]:
    """Return the new position of a route, if it changed.

    The order of other objects has no meaning.
    """
    at = order.index(name) + 1
    return {PLACE: FieldChange(at, place)} if kind.name == "route" and at != place else {}


def _move(order: list[str], name: str, place: int) -> None:
    if name in order:
        order.remove(name)
    order.insert(place - 1, name)


async def _log(change: Change, kind: FileKind, made: ThingChange) -> None:
    words = {"added": "created", "changed": "changed", "removed": "deleted"}
    detail = f"{kind.name} {made.name} {words[made.what]}"
    event = audit_log.Event(change.now, kind.event, change.actor, detail=detail)
    await audit_log.log(change.connection, event)
