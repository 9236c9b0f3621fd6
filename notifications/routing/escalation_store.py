"""Escalations under way in the database: each timer is a row, so a restart loses none."""

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
"""The priority of deliveries to whoever is on call."""


class NewEscalation(Struct, frozen=True, kw_only=True):
    """An alert that is to go through a policy, and when the first step is due."""

    alert_id: int
    transition_id: int
    route: str
    policy: Policy
    started_at: datetime


class DueEscalation(NewEscalation, frozen=True, kw_only=True):
    """One whose time has come, kept from others until the transaction ends."""

    id: int
    acknowledged_at: Sequence[datetime]
    acknowledged_by: str
    """Who acknowledged the alert last; empty: nobody."""
    taken: Sequence[str]
    """The keys of the steps that were taken."""
    level: Level


class ExpiredAcknowledgement(Struct, frozen=True):
    """The acknowledgement of an alert that is over by a policy that the alert goes through."""

    alert_id: int
    policy: str
    expires_s: int


class StepDelivery(Struct, frozen=True, kw_only=True):
    """A message to one address about a step; `place` is the end of its key."""

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
    """Let escalations hear of acknowledgements and ends, in the transaction that announces them."""
    await queries.run(connection, FOLLOW, ids=list(transition_ids), now=now)


async def begin(connection: Connection, wanted: Sequence[NewEscalation]) -> None:
    """Begin escalations, but for alerts that are over or go through the same policy already."""
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
    """Return escalations whose next step is due, the longest overdue first."""
    return await queries.rows(connection, DueEscalation, DUE, now=now, limit=limit)


async def expired(
    connection: Connection, now: datetime, limit: int
) -> list[ExpiredAcknowledgement]:
    """Return acknowledgements that are over."""
    return await queries.rows(connection, ExpiredAcknowledgement, EXPIRED, now=now, limit=limit)


async def announce(
    connection: Connection, now: datetime, steps: Sequence[tuple[str, int, Mapping[str, object]]]
) -> dict[str, int]:
    """Write a notification for each step; return their numbers.

    A step is given as its key, its alert, and what is said of it.
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
    """Write the deliveries of steps, whose notifications are given by key."""
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
    """Note the keys of steps that escalations have taken, and when the next one is due."""
    await queries.run(
        connection,
        TAKE,
        ids=[number for number, _, _ in taken],
        keys=[" ".join(keys) for _, keys, _ in taken],
        times=[next_at for _, _, next_at in taken],
    )


async def channels(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of enabled channels by their names."""
    cursor = await connection.execute(CHANNELS, {"names": list(names)})
    return {name: number for number, name in await cursor.fetchall()}
