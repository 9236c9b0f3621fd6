"""Reads and changes the outbox: leases of addresses, the next delivery, and the result of each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from db import queries
from db.queries import Connection
from notifications.delivery import DeliveryError, Receipt

_QUERIES = queries.load(__file__)
CLAIM = _QUERIES["claim"]
RELEASE_ALL = _QUERIES["release_all"]
RENEW = _QUERIES["renew"]
RELEASE = _QUERIES["release"]
WAITING = _QUERIES["waiting"]
ATTEMPTS = _QUERIES["attempts"]
NEXT = _QUERIES["next"]
FORM_GROUP = _QUERIES["form_group"]
MEMBERS = _QUERIES["members"]
SENT = _QUERIES["sent"]
POSTPONE = _QUERIES["postpone"]
FAIL = _QUERIES["fail"]


class LeasedAddress(Struct, frozen=True):
    """An address that this process has leased. `failures` counts its failures in a row."""

    channel_id: int
    address: str
    failures: int


class NotificationContent(Struct, frozen=True):
    """The content of a notification: its event, and the payload that its message is based on."""

    event: str
    payload: dict[str, Any]


class PendingDelivery(Struct, frozen=True, kw_only=True):
    """A delivery that waits, with the content of its notification."""

    id: int
    key: str
    notification_id: int
    step: int
    person: str | None
    attempts: int
    created_at: datetime
    kind: str
    event: str
    time: datetime
    payload: dict[str, Any]
    alert_id: int | None
    earlier: str
    """The provider's id of the first message about the same alert. Empty: there is none."""


class Queue(Struct, frozen=True):
    """How many deliveries of an address are due, and when the oldest was written."""

    waiting: int
    oldest: datetime | None


async def claim(
    connection: Connection, now: datetime, lease: UUID, lease_until: datetime, at_most: int
) -> list[LeasedAddress]:
    """Lease addresses that have due deliveries and that no process serves, up to a number."""
    return await queries.rows(
        connection,
        LeasedAddress,
        CLAIM,
        now=now,
        lease=lease,
        lease_until=lease_until,
        at_most=at_most,
    )


async def release_all(connection: Connection, lease: UUID) -> None:
    """Release every lease that an earlier process with the same lease id left behind."""
    await queries.run(connection, RELEASE_ALL, lease=lease)


async def renew(
    connection: Connection,
    address: LeasedAddress,
    now: datetime,
    lease: UUID,
    lease_until: datetime,
) -> bool:
    """Extend a lease.

    False: it has expired, or notifications are paused. Then send nothing more.
    """
    renewed = await queries.run(
        connection, RENEW, **_key(address), now=now, lease=lease, lease_until=lease_until
    )
    return renewed == 1


async def release(
    connection: Connection, address: LeasedAddress, lease: UUID, failures: int, retry_at: datetime
) -> None:
    """Release a lease. The address is not served before `retry_at`."""
    await queries.run(
        connection, RELEASE, **_key(address), lease=lease, failures=failures, retry_at=retry_at
    )


async def waiting(connection: Connection, address: LeasedAddress, now: datetime) -> Queue:
    """Return how many deliveries of an address are due."""
    found = await queries.rows(connection, Queue, WAITING, **_key(address), now=now)
    return found[0]


async def attempts(
    connection: Connection, address: LeasedAddress, since: datetime, at_most: int
) -> list[datetime]:
    """Return the times of the newest tries after a time, at most `at_most`."""
    cursor = await connection.execute(
        ATTEMPTS, {**_key(address), "since": since, "at_most": at_most}
    )
    return [time for (time,) in await cursor.fetchall()]


async def following(
    connection: Connection, address: LeasedAddress, now: datetime
) -> PendingDelivery | None:
    """Return the delivery to send next."""
    return await queries.first(connection, PendingDelivery, NEXT, **_key(address), now=now)


async def form_group(
    connection: Connection, address: LeasedAddress, now: datetime, token: str, at_most: int
) -> bool:
    """Let one delivery carry the next ones. False: none of them concerns an alert."""
    carrier = await queries.value(
        connection, FORM_GROUP, **_key(address), now=now, token=token, at_most=at_most
    )
    return carrier is not None


async def members(
    connection: Connection, delivery: PendingDelivery
) -> Sequence[NotificationContent]:
    """Return the content of each member of a group, oldest first."""
    return await queries.rows(connection, NotificationContent, MEMBERS, id=delivery.id)


async def mark_sent(
    connection: Connection,
    delivery: PendingDelivery,
    now: datetime,
    receipt: Receipt,
    duration_s: float,
) -> None:
    """Store that the provider accepted a delivery, and with it the members of its group."""
    await queries.run(
        connection, SENT, id=delivery.id, now=now, status=receipt.status,
        answer=receipt.answer, reference=receipt.reference, duration_s=duration_s,
    )  # fmt: skip


async def postpone(
    connection: Connection,
    delivery: PendingDelivery,
    now: datetime,
    error: DeliveryError,
    next_at: datetime,
    duration_s: float | None,
) -> None:
    """Store a failed try. The next try is not before `next_at`."""
    await queries.run(
        connection, POSTPONE, id=delivery.id, now=now, next_at=next_at, status=error.status,
        answer=error.answer, error=str(error), duration_s=duration_s,
    )  # fmt: skip


async def fail(
    connection: Connection,
    delivery: PendingDelivery,
    now: datetime,
    error: DeliveryError,
    duration_s: float | None,
) -> None:
    """Store that a delivery has failed for good, and with it the members of its group."""
    await queries.run(
        connection, FAIL, id=delivery.id, now=now, status=error.status, answer=error.answer,
        error=str(error), duration_s=duration_s,
    )  # fmt: skip


def _key(address: LeasedAddress) -> dict[str, object]:
    return {"channel_id": address.channel_id, "address": address.address}
