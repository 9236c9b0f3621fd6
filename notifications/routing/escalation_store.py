"""Stores running escalations. Each timer is a column of a row, so a restart loses none."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.severity import Level
from model.times import whole_seconds
from notifications.oncall.escalation import Policy

_QUERIES = queries.load(__file__)
FOLLOW = _QUERIES["follow"]
BEGIN = _QUERIES["begin"]
DUE = _QUERIES["due"]
EXPIRED = _QUERIES["expired"]
ANNOUNCE = _QUERIES["announce"]
DELIVER = _QUERIES["deliver"]
TAKE = _QUERIES["take"]
CHANNELS = _QUERIES["channels"]

ON_CALL = 1
"""The priority of deliveries to people on call."""


class NewEscalation(Struct, frozen=True, kw_only=True):
    """An escalation to start: an alert, a policy, and the time of the first step."""

    alert_id: int
    transition_id: int
    route: str
    policy: Policy
    started_at: datetime


class DueEscalation(NewEscalation, frozen=True, kw_only=True):
    """An escalation with a due step. Its row is locked until the transaction ends."""

    id: int
    acknowledged_at: Sequence[datetime]
    acknowledged_by: str
    """The person who acknowledged the alert last. Empty: nobody did."""
    taken: Sequence[str]
    """The keys of the steps that have run."""
    level: Level


class ExpiredAcknowledgement(Struct, frozen=True):
    """An acknowledgement that expired according to a policy of its alert."""

    alert_id: int
    policy: str
    expires_s: int


class StepDelivery(Struct, frozen=True, kw_only=True):
    """A message to one address about a step. `place` is the end of its idempotency key."""

    step_key: str
    alert_id: int
    step: int
    channel_id: int
    channel: str
    place: str
    time: datetime
    address: str = ""
    person: str | None = None


async def follow(connection: Connection, transition_ids: Sequence[int], now: datetime) -> None:
    """Store acknowledgements with running escalations, and stop those of ended alerts.

    It runs in the transaction that announces the transitions.
    """
    await queries.run(connection, FOLLOW, ids=list(transition_ids), now=now)


async def begin(connection: Connection, wanted: Sequence[NewEscalation]) -> None:
    """Start escalations, except for alerts that ended or that already run the same policy."""
    await queries.run(
        connection,
        BEGIN,
        alert_ids=[one.alert_id for one in wanted],
        transition_ids=[one.transition_id for one in wanted],
        routes=[one.route for one in wanted],
        policies=[Jsonb(one.policy) for one in wanted],
        expires_s=[whole_seconds(one.policy.acknowledgement_expires) for one in wanted],
        times=[one.started_at for one in wanted],
    )


async def due(connection: Connection, now: datetime, limit: int) -> list[DueEscalation]:
    """Lock and return escalations whose next step is due, the longest overdue first."""
    return await queries.rows(connection, DueEscalation, DUE, now=now, limit=limit)


async def expired(
    connection: Connection, now: datetime, limit: int
) -> list[ExpiredAcknowledgement]:
    """Return acknowledgements that have expired."""
    return await queries.rows(connection, ExpiredAcknowledgement, EXPIRED, now=now, limit=limit)


async def announce(
    connection: Connection, now: datetime, steps: Sequence[tuple[str, int, Mapping[str, object]]]
) -> dict[str, int]:
    """Write one notification for each step and return the numbers by key.

    A step is given as its key, the number of its alert, and its content.
    """
    cursor = await connection.execute(
        ANNOUNCE,
        {
            "now": now,
            "keys": [key for key, _, _ in steps],
            "alert_ids": [alert_id for _, alert_id, _ in steps],
            "steps": [Jsonb(step) for _, _, step in steps],
        },
    )
    return {key: number for number, key in await cursor.fetchall()}


async def deliver(
    connection: Connection, notifications: Mapping[str, int], deliveries: Sequence[StepDelivery]
) -> None:
    """Write the deliveries of steps. `notifications` maps the key of a step to its notification."""
    await queries.run(
        connection,
        DELIVER,
        keys=[f"{one.step_key}-{one.place}" for one in deliveries],
        notification_ids=[notifications[one.step_key] for one in deliveries],
        alert_ids=[one.alert_id for one in deliveries],
        channel_ids=[one.channel_id for one in deliveries],
        channels=[one.channel for one in deliveries],
        addresses=[one.address for one in deliveries],
        people=[one.person for one in deliveries],
        steps=[one.step for one in deliveries],
        times=[one.time for one in deliveries],
        priority=ON_CALL,
    )


async def take(
    connection: Connection, taken: Sequence[tuple[int, Sequence[str], datetime | None]]
) -> None:
    """Store the keys of the steps that have run, and the time of the next step."""
    await queries.run(
        connection,
        TAKE,
        ids=[number for number, _, _ in taken],
        keys=[" ".join(keys) for _, keys, _ in taken],
        times=[next_at for _, _, next_at in taken],
    )


async def channels(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of enabled channels by name."""
    cursor = await connection.execute(CHANNELS, {"names": list(names)})
    return {name: number for number, name in await cursor.fetchall()}
