"""The delivery log: what was sent to whom, what waits and what failed. Sends deliveries again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.errors import ConflictError, NotFoundError

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]
LAST_OF_CHANNELS = _QUERIES["last_of_channels"]
REPLAY = _QUERIES["replay"]
DROP_OLD = _QUERIES["drop_old"]

ID_MAX = 2**63 - 1
DROPPED_TOGETHER = 1000


class State(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    GROUPED = "grouped"
    """Another delivery, `group_id`, carries it together with others."""
    SENT = "sent"
    FAILED = "failed"
    """Final: nothing sends it again but a person."""
    SKIPPED = "skipped"
    """Outdated when a pause ended. A person can send it again."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One message to one address, and its state."""

    id: int
    key: str
    kind: str
    event: str
    channel: str
    address: str
    person: str | None
    step: int
    state: State
    attempts: int
    created_at: datetime
    attempted_at: datetime | None
    """When it was last tried."""
    next_at: datetime
    sent_at: datetime | None
    duration_s: float | None
    """How long the last try took."""
    status: int | None
    answer: str | None
    last_error: str | None
    group_id: int | None
    alert: dict[str, Any] | None
    events: int | None
    """How many events of the bus it has; null: it is about something else."""


class LastDelivery(Struct, frozen=True, kw_only=True):
    """The newest try of a channel, to any of its addresses."""

    channel_id: int
    id: int
    kind: str
    event: str
    state: State
    attempted_at: datetime
    last_error: str | None


class Filter(Struct, frozen=True, kw_only=True):
    """The conditions of a list. `before` is the cursor: only deliveries with smaller ids."""

    state: State | None = None
    channel: str | None = None
    alert_id: int | None = None
    before: int = ID_MAX


async def read_all(connection: Connection, wanted: Filter, limit: int) -> list[Delivery]:
    """Return deliveries, newest first."""
    return await queries.rows(
        connection, Delivery, READ, id=None, state=wanted.state, channel=wanted.channel,
        alert_id=wanted.alert_id, before=wanted.before, limit=limit,
    )  # fmt: skip


async def last_of(connection: Connection, channel_ids: Sequence[int]) -> Mapping[int, LastDelivery]:
    """Return the newest try of each channel. Channels without a try are missing."""
    found = await queries.rows(
        connection, LastDelivery, LAST_OF_CHANNELS, channel_ids=list(channel_ids)
    )
    return {one.channel_id: one for one in found}


async def read(connection: Connection, delivery_id: int) -> Delivery:
    """Return one delivery. Raises NotFoundError."""
    found = await queries.first(
        connection, Delivery, READ, id=min(delivery_id, ID_MAX), state=None, channel=None,
        alert_id=None, before=ID_MAX, limit=1,
    )  # fmt: skip
    if found is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return found


async def replay(connection: Connection, delivery_id: int, now: datetime) -> Delivery:
    """Send a delivery again, with the same idempotency key.

    Raises NotFoundError, and ConflictError if it still waits or its channel was deleted.
    """
    if not await queries.value(connection, REPLAY, id=min(delivery_id, ID_MAX), now=now):
        found = await read(connection, delivery_id)
        raise ConflictError(
            f"delivery {delivery_id} is {found.state}; only sent, failed or skipped "
            "deliveries of a channel that still exists can be sent again"
        )
    return await read(connection, delivery_id)


async def drop_old(connection: Connection, before: datetime) -> None:
    """Delete a batch of notifications from before a time that no delivery waits for."""
    while await queries.run(connection, DROP_OLD, before=before, limit=DROPPED_TOGETHER):
        pass
