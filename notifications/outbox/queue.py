"""What waits in the outbox: leases of addresses, the next delivery, and what became of each."""

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
    """An address whose lease this process holds; `failures` is how many there were in a row."""

    channel_id: int
    address: str
    failures: int


class Said(Struct, frozen=True):
    """What a notification says: its event, and the payload that its message is made from."""

    event: str
    payload: dict[str, Any]


class PendingDelivery(Struct, frozen=True, kw_only=True):
    """A delivery that waits, with what it says."""

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
    """What the provider calls the first message about the same alert; empty: there is none."""


class Queue(Struct, frozen=True):
    """How many deliveries of an address may go now, and when the oldest was written."""

    waiting: int
    oldest: datetime | None


async def claim(
    connection: Connection, now: datetime, lease: UUID, lease_until: datetime, at_most: int
) -> list[LeasedAddress]:
    """Take the leases of addresses that something waits for, and that nobody serves."""
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
    """Give back every lease of an id that no process uses any more."""
    await queries.run(connection, RELEASE_ALL, lease=lease)


async def renew(
    connection: Connection,
    address: LeasedAddress,
    now: datetime,
    lease: UUID,
    lease_until: datetime,
) -> bool:
    """Prolong a lease; False when it has run out or notifications are paused: nothing is sent."""
    renewed = await queries.run(
        connection, RENEW, **_key(address), now=now, lease=lease, lease_until=lease_until
    )
    return renewed == 1


async def release(
    connection: Connection, address: LeasedAddress, lease: UUID, failures: int, retry_at: datetime
) -> None:
    """Give a lease back; the address is not served before `retry_at`."""
    await queries.run(
        connection, RELEASE, **_key(address), lease=lease, failures=failures, retry_at=retry_at
    )


async def waiting(connection: Connection, address: LeasedAddress, now: datetime) -> Queue:
    """Return how much waits for an address."""
    found = await queries.rows(connection, Queue, WAITING, **_key(address), now=now)
    return found[0]


async def attempts(
    connection: Connection, address: LeasedAddress, since: datetime, at_most: int
) -> list[datetime]:
    """Return the times of the newest tries after a time."""
    cursor = await connection.execute(
        ATTEMPTS, {**_key(address), "since": since, "at_most": at_most}
    )
    return [time for (time,) in await cursor.fetchall()]


async def following(
    connection: Connection, address: LeasedAddress, now: datetime
) -> PendingDelivery | None:
    """Return the delivery that is sent next."""
    return await queries.first(connection, PendingDelivery, NEXT, **_key(address), now=now)


async def form_group(
    connection: Connection, address: LeasedAddress, now: datetime, token: str, at_most: int
) -> bool:
    """Let one delivery carry the next ones; False when none of them is about an alert."""
    carrier = await queries.value(
        connection, FORM_GROUP, **_key(address), now=now, token=token, at_most=at_most
    )
    return carrier is not None


async def members(connection: Connection, delivery: PendingDelivery) -> Sequence[Said]:
    """Return what the members of a group say, oldest first."""
    return await queries.rows(connection, Said, MEMBERS, id=delivery.id)


async def mark_sent(
    connection: Connection,
    delivery: PendingDelivery,
    now: datetime,
    receipt: Receipt,
    duration_s: float,
) -> None:
    """Note that the provider took a delivery, and with it the members of a group."""
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
    """Note a failed try; the next one is not before `next_at`."""
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
    """Note that a delivery has failed for good, and with it the members of a group."""
    await queries.run(
        connection, FAIL, id=delivery.id, now=now, status=error.status, answer=error.answer,
        error=str(error), duration_s=duration_s,
    )  # fmt: skip


def _key(address: LeasedAddress) -> dict[str, object]:
    return {"channel_id": address.channel_id, "address": address.address}
