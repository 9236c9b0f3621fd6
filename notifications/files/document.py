"""The TOML file with channels, contacts, schedules, policies and routes."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from model.errors import InvalidError
from model.toml import table
from model.validation.words import explain
from notifications.channel_store import Terms
from notifications.contacts.contact import Contact
from notifications.oncall.escalation import Policy
from notifications.oncall.schedule_store import ScheduleTerms
from notifications.routing.model import Route


class ChannelTable(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A channel. Files that Vigia writes have no `url` and no `secret`."""


class ContactTable(Contact, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A contact. New addresses must be verified again."""


class ScheduleTable(ScheduleTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule without its overrides."""


class Document(Struct, frozen=True, kw_only=True):
    """The content of a file. Routes are in order."""

    channel: Sequence[ChannelTable] = ()
    contact: Sequence[ContactTable] = ()
    schedule: Sequence[ScheduleTable] = ()
    policy: Sequence[Policy] = ()
    route: Sequence[Route] = ()


Thing = TypeVar("Thing", bound=Struct)
TYPES: dict[str, type[Struct]] = {
    "channel": ChannelTable,
    "contact": ContactTable,
    "schedule": ScheduleTable,
    "policy": Policy,
    "route": Route,
}
"""The tables of a file, in an order in which no table refers to a later one."""


def parse(text: str) -> Document:
    """Parse a file. Raises InvalidError, which lists all errors."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"this is no TOML: {error}") from None
    if stray := sorted(found.keys() - TYPES.keys()):
        known = ", ".join(f"[[{kind}]]" for kind in TYPES)
        raise InvalidError(f"{stray[0]}: a file has the tables {known}, and nothing else")
    faults: list[str] = []
    read = {kind: _read(kind, found.get(kind, []), faults) for kind in TYPES}
    if faults:
        raise InvalidError("not everything is right:\n" + "\n".join(faults))
    return msgspec.structs.replace(Document(), **read)


def dump(document: Document) -> str:
    """Return the file of a document, without fields that have their default."""
    return "\n".join(_tables(document))


def _tables(document: Document) -> Iterator[str]:
    for kind in TYPES:
        for thing in getattr(document, kind):
            yield table(kind, thing)


def _read(kind: str, tables: object, faults: list[str]) -> list[Any]:
    if not isinstance(tables, list):
        faults.append(f"{kind}: write [[{kind}]], a table for each")
        return []
    things: list[Any] = []
    for number, one in enumerate(tables, 1):
        try:
            things.append(msgspec.convert(one, TYPES[kind]))
        except msgspec.ValidationError as error:
            name = one.get("name") if isinstance(one, dict) else None
            faults.append(f"{kind} {name or number}: {explain(error, TYPES[kind], one)}")
    counts = Counter(one.name for one in things)
    faults += [f"{kind} {name}: {n} have this name" for name, n in counts.items() if n > 1]
    return things
