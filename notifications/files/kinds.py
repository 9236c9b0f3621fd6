"""Reads, creates, changes and deletes each kind of object that a file contains."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct

from audit.log import Type
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.times import duration_text, whole_seconds
from notifications import channel_store
from notifications.actions import naming
from notifications.contacts import contact_store
from notifications.contacts.contact import Address
from notifications.files.document import ChannelTable, ContactTable, ScheduleTable
from notifications.oncall import recording, schedule_store
from notifications.oncall.escalation import Policy
from notifications.routing import policy_store, route_store
from notifications.routing.flushing import flush_route
from notifications.routing.model import Route
from runtime.encryption.secret_keys import SecretKeys

Thing = TypeVar("Thing", bound=Struct)
SECRETS = ("url", "secret")


class Change(Struct, frozen=True):
    """The transaction in which a file is applied."""

    connection: Connection
    keys: SecretKeys
    now: datetime
    actor: str


class FileKind(Struct, frozen=True):
    """A kind of object. `read` returns the objects in the form and order of a file."""

    name: str
    event: Type
    read: Callable[[Connection], Awaitable[Sequence[Any]]]
    insert: Callable[[Change, Any, int], Awaitable[None]]
    """The number is the position in the file, from 1."""
    update: Callable[[Change, Any, Any, int], Awaitable[None]]
    """From the stored object to the wanted one."""
    delete: Callable[[Change, Any], Awaitable[None]]


def normal(thing: Thing) -> Thing:
    """Return an object in its stored form: `60s` becomes `1m`."""
    names = ("group_wait", "group_interval", "repeat", "acknowledgement_expires")
    durations = names if isinstance(thing, Route) else names[-1:]
    given = {name: getattr(thing, name) for name in durations if hasattr(thing, name)}
    texts = {name: duration_text(whole_seconds(value)) for name, value in given.items()}
    return msgspec.structs.replace(thing, **texts)


def _only(wanted: type[Thing], stored: Struct, **other: Any) -> Thing:
    """Return the fields of a stored object that a file contains."""
    names = [name for name in wanted.__struct_fields__ if name not in other]
    return wanted(**{name: getattr(stored, name) for name in names}, **other)


async def _channels(connection: Connection) -> list[ChannelTable]:
    found = await channel_store.read_all(connection)
    return [_only(ChannelTable, one, url=UNSET, secret=UNSET) for one in reversed(found)]


async def with_secrets(change: Change, old: Any, new: Any) -> Any:
    """Return the stored channel with its address or secret, if the file gives them to compare."""
    if not isinstance(new, ChannelTable) or (new.url is UNSET and new.secret is UNSET):
        return old
    stored = await channel_store.read_named(change.connection, old.name)
    if stored is None:
        return old
    url, secret = channel_store.given(change.keys, stored)
    return msgspec.structs.replace(old, url=url, secret=secret)


async def _insert_channel(change: Change, channel: ChannelTable, _: int) -> None:
    await channel_store.insert(change.connection, change.keys, channel, change.now, change.actor)


async def _update_channel(
    change: Change, before: ChannelTable, channel: ChannelTable, _: int
) -> None:
    if channel.type != before.type:
        raise InvalidError(f"type: it is {before.type}; create a channel with another name")
    stored = await channel_store.read_named(change.connection, channel.name)
    if stored is None:
        raise ConflictError("somebody else has just deleted it; try again")
    await channel_store.update(
        change.connection, change.keys, stored, channel, change.now, change.actor
    )


async def _delete_channel(change: Change, channel: ChannelTable) -> None:
    await policy_store.check_unnamed(change.connection, "channel", channel.name)
    await naming.check_unnamed(change.connection, channel.name)
    stored = await channel_store.read_named(change.connection, channel.name)
    if stored is not None:
        await channel_store.delete(change.connection, stored.id)


async def _contacts(connection: Connection) -> list[ContactTable]:
    return [
        _only(
            ContactTable,
            one,
            addresses=[_only(Address, address) for address in one.addresses],
        )
        for one in await contact_store.read_all(connection)
    ]


async def _insert_contact(change: Change, contact: ContactTable, _: int) -> None:
    await contact_store.insert(change.connection, change.keys, contact, change.now, change.actor)


async def _update_contact(
    change: Change, _before: ContactTable, contact: ContactTable, _: int
) -> None:
    await contact_store.update(change.connection, change.keys, contact, change.now, change.actor)


async def _delete_contact(change: Change, contact: ContactTable) -> None:
    await policy_store.check_unnamed(change.connection, "person", contact.name)
    await contact_store.delete(change.connection, contact.name)
    if found := await schedule_store.naming(change.connection, contact.name, change.now):
        raise ConflictError(f"it is in the schedule {', '.join(found)}; remove it there first")


async def _schedules(connection: Connection) -> list[ScheduleTable]:
    return [_only(ScheduleTable, one) for one in await schedule_store.read_all(connection)]


async def _insert_schedule(change: Change, schedule: ScheduleTable, _: int) -> None:
    await schedule_store.insert(change.connection, schedule, change.now, change.actor)
    await recording.notify_changes(change.connection, schedule.name, change.now)


async def _update_schedule(
    change: Change, _before: ScheduleTable, schedule: ScheduleTable, _: int
) -> None:
    await recording.catch_up(change.connection, schedule.name, change.now)
    await schedule_store.update(change.connection, schedule, change.now, change.actor)
    await recording.notify_changes(change.connection, schedule.name, change.now)


async def _delete_schedule(change: Change, schedule: ScheduleTable) -> None:
    await policy_store.check_unnamed(change.connection, "schedule", schedule.name)
    await recording.catch_up(change.connection, schedule.name, change.now)
    await recording.notify_changes(change.connection, schedule.name, change.now, is_deleted=True)
    await schedule_store.delete(change.connection, schedule.name)


async def _policies(connection: Connection) -> list[Policy]:
    return [one.policy() for one in await policy_store.read_all(connection)]


async def _insert_policy(change: Change, policy: Policy, _: int) -> None:
    await policy_store.insert(change.connection, policy, change.now, change.actor)


async def _update_policy(change: Change, _before: Policy, policy: Policy, _: int) -> None:
    await policy_store.update(change.connection, policy, change.now, change.actor)


async def _delete_policy(change: Change, policy: Policy) -> None:
    await policy_store.delete(change.connection, policy.name)


async def _routes(connection: Connection) -> list[Route]:
    return [_only(Route, one) for one in await route_store.read_all(connection)]


async def _insert_route(change: Change, route: Route, place: int) -> None:
    await route_store.insert(change.connection, route, place, change.now, change.actor)


async def _update_route(change: Change, before: Route, route: Route, place: int) -> None:
    if before.enabled and not route.enabled:
        await flush_route(change.connection, route.name, change.now)
    await route_store.update(change.connection, route, place, change.now, change.actor)


async def _delete_route(change: Change, route: Route) -> None:
    await flush_route(change.connection, route.name, change.now)
    await route_store.delete(change.connection, route.name)


CHANNEL = FileKind(
    "channel", Type.CHANNEL_CHANGED, _channels, _insert_channel, _update_channel, _delete_channel
)
CONTACT = FileKind(
    "contact", Type.CONTACT_CHANGED, _contacts, _insert_contact, _update_contact, _delete_contact
)
SCHEDULE = FileKind(
    "schedule",
    Type.SCHEDULE_CHANGED,
    _schedules,
    _insert_schedule,
    _update_schedule,
    _delete_schedule,
)
POLICY = FileKind(
    "policy", Type.POLICY_CHANGED, _policies, _insert_policy, _update_policy, _delete_policy
)
ROUTE = FileKind("route", Type.ROUTE_CHANGED, _routes, _insert_route, _update_route, _delete_route)
KINDS = (CHANNEL, CONTACT, SCHEDULE, POLICY, ROUTE)
"""In an order in which no kind refers to a later one."""
