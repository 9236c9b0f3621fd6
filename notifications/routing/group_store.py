"""Stores groups of alerts. Each timer is a column of a row, so a restart loses none."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.severity import Level
from notifications.routing.groups import Member

_QUERIES = queries.load(__file__)
LOCK = _QUERIES["lock"]
BEGIN = _QUERIES["begin"]
JOIN = _QUERIES["join"]
WAKE = _QUERIES["wake"]
DUE = _QUERIES["due"]
OF_ROUTE = _QUERIES["of_route"]
MEMBERS = _QUERIES["members"]
SEND = _QUERIES["send"]
MARK = _QUERIES["mark"]
LEAVE = _QUERIES["leave"]
SET_TIMES = _QUERIES["set_times"]
END = _QUERIES["end"]

KEY_CHARS = 32


class Place(Struct, frozen=True):
    """The identity of a group: its route, and `key`, a hash of its labels."""

    route_id: int
    key: str


class OpenGroup(Struct, frozen=True, kw_only=True):
    """An existing group, and when it is due."""

    id: int
    route_id: int
    key: str
    first_at: datetime
    next_at: datetime | None

    @property
    def place(self) -> Place:
        return Place(self.route_id, self.key)


class NewGroup(Struct, frozen=True, kw_only=True):
    """A group to create."""

    place: Place
    labels: Mapping[str, str]
    first_at: datetime


class DueGroup(Struct, frozen=True, kw_only=True):
    """A group that is due. Its row is locked until the transaction ends."""

    id: int
    route_id: int
    first_at: datetime
    sent_at: datetime | None
    messages: int


class StoredMember(Member, frozen=True, kw_only=True):
    """An alert of a group, with the transitions that the group has not sent."""

    group_id: int
    level: Level
    sent_to: int
    newest: int


class GroupMessage(Struct, frozen=True, kw_only=True):
    """A message of a group.

    Without `event`, the newest transition of its only alert is the message.
    """

    group_id: int
    number: int
    route_id: int
    event: str | None
    priority: int
    alert_ids: Sequence[int]
    is_repeated: bool = False


class Times(Struct, frozen=True, kw_only=True):
    """The last and next time at which a group is sent, and the number of its messages so far."""

    group_id: int
    next_at: datetime | None
    sent_at: datetime | None
    messages: int


def key_of(labels: Mapping[str, str]) -> str:
    """Return a hash of the labels that the alerts of a group share."""
    text = msgspec.json.encode(dict(labels), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:KEY_CHARS]


async def lock(
    connection: Connection, alert_ids: Sequence[int], places: Sequence[Place]
) -> list[OpenGroup]:
    """Lock and return the groups that alerts are in or will join.

    All callers lock in the same order, so that two transactions cannot deadlock.
    """
    return await queries.rows(
        connection,
        OpenGroup,
        LOCK,
        alert_ids=list(alert_ids),
        route_ids=[place.route_id for place in places],
        keys=[place.key for place in places],
    )


async def begin(connection: Connection, groups: Sequence[NewGroup]) -> list[OpenGroup]:
    """Create groups, which are first due at their `first_at`."""
    return await queries.rows(
        connection,
        OpenGroup,
        BEGIN,
        route_ids=[one.place.route_id for one in groups],
        keys=[one.place.key for one in groups],
        labels=[Jsonb(one.labels) for one in groups],
        times=[one.first_at for one in groups],
    )


async def join(connection: Connection, joining: Sequence[tuple[int, int, int]]) -> None:
    """Add alerts to groups. Each item is the number of a group, an alert and a notification."""
    await queries.run(
        connection,
        JOIN,
        group_ids=[group_id for group_id, _, _ in joining],
        alert_ids=[alert_id for _, alert_id, _ in joining],
        notification_ids=[notification_id for _, _, notification_id in joining],
    )


async def wake(connection: Connection, times: Mapping[int, datetime]) -> None:
    """Set when groups are due."""
    await queries.run(connection, WAKE, group_ids=list(times), times=list(times.values()))


async def due(connection: Connection, now: datetime, limit: int) -> list[DueGroup]:
    """Lock and return groups that are due, the longest overdue first."""
    return await queries.rows(connection, DueGroup, DUE, now=now, limit=limit)


async def of_route(connection: Connection, route: str) -> list[DueGroup]:
    """Lock and return all groups of a route, due or not."""
    return await queries.rows(connection, DueGroup, OF_ROUTE, route=route)


async def members(connection: Connection, group_ids: Sequence[int]) -> list[StoredMember]:
    """Return the alerts of groups."""
    return await queries.rows(connection, StoredMember, MEMBERS, group_ids=list(group_ids))


async def send(
    connection: Connection,
    now: datetime,
    messages: Sequence[GroupMessage],
    changes: Sequence[tuple[int, StoredMember]],
) -> int:
    """Write the deliveries of messages and return their number.

    `changes` are the transitions of each message, by its number. A channel does not get a
    transition twice.
    """
    written: int = await queries.value(
        connection,
        SEND,
        now=now,
        messages=Jsonb(messages),
        changes=Jsonb([_change(number, member) for number, member in changes]),
    )
    return written


async def mark(
    connection: Connection, sent: Sequence[StoredMember], passed: Sequence[StoredMember]
) -> None:
    """Store that transitions were sent, or that they need no message."""
    both = [*sent, *passed]
    await queries.run(
        connection,
        MARK,
        **_pairs(both),
        newest=[one.newest for one in both],
        sent=[True] * len(sent) + [False] * len(passed),
    )


async def leave(connection: Connection, left: Sequence[StoredMember]) -> None:
    """Remove alerts from their groups."""
    await queries.run(connection, LEAVE, **_pairs(left))


async def set_times(connection: Connection, times: Sequence[Times]) -> None:
    """Set when groups were sent, and when they are due."""
    await queries.run(
        connection,
        SET_TIMES,
        group_ids=[one.group_id for one in times],
        next_at=[one.next_at for one in times],
        sent_at=[one.sent_at for one in times],
        messages=[one.messages for one in times],
    )


async def end(connection: Connection, group_ids: Sequence[int]) -> None:
    """Delete groups without alerts."""
    await queries.run(connection, END, group_ids=list(group_ids))


def _pairs(members: Sequence[StoredMember]) -> dict[str, list[int]]:
    return {
        "group_ids": [one.group_id for one in members],
        "alert_ids": [one.alert_id for one in members],
    }


def _change(number: int, member: StoredMember) -> dict[str, Any]:
    return {
        "group_id": member.group_id,
        "number": number,
        "alert_id": member.alert_id,
        "sent_to": member.sent_to,
        "newest": member.newest,
    }
