"""Writes messages to people into the outbox, one delivery for each of their addresses."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.severity import Level
from notifications.contacts.contact import Quiet, send_at
from notifications.message import Event, Kind

_QUERIES = queries.load(__file__)
DESTINATIONS = _QUERIES["destinations"]
INSERT_NOTIFICATION = _QUERIES["insert_notification"]
DELIVER = _QUERIES["deliver"]

URGENT, ON_CALL = 0, 1
"""Priorities of deliveries. Lower numbers are sent first."""
PLACE_CHARS = 8


class Destination(Quiet, frozen=True, kw_only=True):
    """An address of a person, with the person's mute and quiet hours."""

    contact_id: int
    person: str
    channel_id: int
    channel: str
    address: str

    @property
    def place(self) -> str:
        """A short hash of the address, for keys that must not contain the address itself."""
        text = f"{self.channel_id} {self.address}".encode()
        return hashlib.sha256(text).hexdigest()[:PLACE_CHARS]


class Notification(Struct, frozen=True, kw_only=True):
    """The content of a notification, from which messages are composed."""

    kind: Kind
    event: Event
    time: datetime
    payload: dict[str, Any]


class Order(Struct, frozen=True, kw_only=True):
    """The common properties of deliveries. `key` is the beginning of their idempotency keys."""

    key: str
    priority: int = ON_CALL
    step: int = 0
    level: Level | None = None
    """The level of the alert. None: not urgent, so the message waits for the end of quiet hours."""


async def notify(
    connection: Connection,
    notification: Notification,
    people: Collection[str],
    order: Order,
    now: datetime,
) -> list[str]:
    """Write a notification and its deliveries to people; return the people who have one.

    If nobody has a delivery, the notification is not written either.
    """
    found = await destinations(connection, people)
    timed = _timed(found, order.level, now)
    if timed:
        await _deliver(
            connection, await insert_notification(connection, notification), timed, order
        )
    return _people(timed)


async def notify_also(
    connection: Connection,
    notification_id: int,
    people: Collection[str],
    order: Order,
    now: datetime,
) -> list[str]:
    """Write the deliveries of a notification to people; return the people who have one.

    People who are muted or have no address get none.
    """
    timed = _timed(await destinations(connection, people), order.level, now)
    await _deliver(connection, notification_id, timed, order)
    return _people(timed)


async def notify_address(
    connection: Connection, notification: Notification, to: Destination, order: Order, now: datetime
) -> None:
    """Write a notification and its delivery to one address.

    It is due at once, even during mute and quiet hours.
    """
    await _deliver(
        connection, await insert_notification(connection, notification), [(to, now)], order
    )


async def destinations(connection: Connection, people: Collection[str]) -> list[Destination]:
    """Return the addresses of people at enabled channels."""
    return await queries.rows(connection, Destination, DESTINATIONS, people=list(people))


async def insert_notification(connection: Connection, notification: Notification) -> int:
    """Write a notification and return its number."""
    number: int = await queries.value(
        connection,
        INSERT_NOTIFICATION,
        kind=notification.kind,
        event=notification.event,
        time=notification.time,
        payload=Jsonb(notification.payload),
    )
    return number


Timed = Sequence[tuple[Destination, datetime]]


def _timed(found: Sequence[Destination], level: Level | None, now: datetime) -> Timed:
    """Return the addresses of people who are not muted, each with the time of its delivery."""
    times = [(each, send_at(each, level, now)) for each in found]
    return [(each, time) for each, time in times if time is not None]


def _people(timed: Timed) -> list[str]:
    return list(dict.fromkeys(each.person for each, _ in timed))


async def _deliver(
    connection: Connection, notification_id: int, timed: Timed, order: Order
) -> None:
    to = [each for each, _ in timed]
    await queries.run(
        connection,
        DELIVER,
        notification_id=notification_id,
        keys=[f"{order.key}-{each.contact_id}-{each.place}" for each in to],
        channel_ids=[each.channel_id for each in to],
        channels=[each.channel for each in to],
        addresses=[each.address for each in to],
        people=[each.person for each in to],
        times=[time for _, time in timed],
        step=order.step,
        priority=order.priority,
    )
