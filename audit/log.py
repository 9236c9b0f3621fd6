"""The security audit, the samples of it that rules evaluate, and its events on the bus."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from db import queries
from db.queries import Connection
from events import bus
from model.limits import SET_BACK_MAX
from model.series import SECURITY_EVENTS, Category, Sample, Series, labels_of
from samples.insert import insert
from samples.series import SeriesNumbers

_QUERIES = queries.load(__file__)
LOG = _QUERIES["log"]
COUNT = _QUERIES["count"]
PAST = _QUERIES["past"]
DROP_OLD = _QUERIES["drop_old"]

COMPONENT = "security"
"""The component of the samples. It has no health, because no `component_up` belongs to it."""


class Type(StrEnum):
    """The type of an event. A new admin key is `admin_created`, without a `key_created`."""

    SIGN_IN_FAILED = "sign_in_failed"
    KEY_REFUSED = "key_refused"
    FORBIDDEN = "forbidden"
    SETTING_CHANGED = "setting_changed"
    RULE_CHANGED = "rule_changed"
    SUPPRESSION_CHANGED = "suppression_changed"
    CHANNEL_CHANGED = "channel_changed"
    CONTACT_CHANGED = "contact_changed"
    SCHEDULE_CHANGED = "schedule_changed"
    ROUTE_CHANGED = "route_changed"
    POLICY_CHANGED = "policy_changed"
    NOTIFICATIONS_PAUSED = "notifications_paused"
    NOTIFICATIONS_RESUMED = "notifications_resumed"
    ACTION_RUN = "action_run"
    HOST_REMOVED = "host_removed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    ADMIN_CREATED = "admin_created"
    FIRST_ADMIN_CREATED = "first_admin_created"


REFUSALS = (Type.SIGN_IN_FAILED, Type.KEY_REFUSED, Type.FORBIDDEN)
"""Events that anyone on the network can cause, in any number. They are counted and expire."""


class Event(Struct, frozen=True):
    """An event that happened `count` times, first at `time`. It contains no secret."""

    time: datetime
    type: Type
    actor: str = ""
    address: str = ""
    detail: str = ""
    count: int = 1


class Logged(Struct, frozen=True):
    """One row of the audit."""

    id: int
    time: datetime
    type: Type
    actor: str
    address: str
    detail: str
    count: int


class _Counted(Struct, frozen=True):
    type: str
    actor: str
    count: float
    events: list[Logged]


async def log(connection: Connection, *events: Event) -> None:
    """Write events to the audit, in the same transaction as the change that they describe."""
    await queries.run(
        connection,
        LOG,
        times=[event.time for event in events],
        types=[event.type.value for event in events],
        actors=[event.actor for event in events],
        addresses=[event.address for event in events],
        details=[event.detail for event in events],
        counts=[event.count for event in events],
    )


async def count(connection: Connection, at: datetime) -> list[Sample]:
    """Store the number of new events of each type and actor as samples, and return the samples.

    The events are appended to the bus, each as `security.` and its type.

    An actor is a known key or user, so that the keys limit the number of series. Reading, marking
    and storing are one transaction: no event is lost or counted twice, even if the process dies or
    several replicas run the same slot.
    """
    types = [one.value for one in Type]
    async with connection.transaction():
        found = await queries.rows(
            connection, _Counted, COUNT, at=at, types=types, set_back_max=SET_BACK_MAX
        )
        samples = [Sample(_series(one), at, one.count) for one in found]
        await insert(connection, SeriesNumbers(), samples)
        new = sorted((event for one in found for event in one.events), key=lambda event: event.id)
        await bus.append(connection, at, [(bus_type(event.type), event) for event in new])
    return samples


def bus_type(kind: Type) -> str:
    """Return the type that an event of the audit has on the bus."""
    return f"security.{kind}"


async def past(
    connection: Connection,
    wanted: Type | None,
    start: datetime,
    end: datetime,
    before: int,
    limit: int,
) -> list[Logged]:
    """Return the events with `start` <= time < `end` and an id below `before`, newest first."""
    return await queries.rows(
        connection,
        Logged,
        PAST,
        type=wanted,
        start=start,
        end=end,
        before=before,
        limit=limit,
    )


async def drop_old(connection: Connection, before: datetime) -> int:
    """Delete the refusals before a time. Events about changes are kept for ever."""
    return await queries.run(connection, DROP_OLD, before=before, types=[*map(str, REFUSALS)])


def _series(counted: _Counted) -> Series:
    labels = {"type": counted.type} | ({"actor": counted.actor} if counted.actor else {})
    return Series(
        metric=SECURITY_EVENTS,
        component=COMPONENT,
        category=Category.SECURITY,
        labels=labels_of(labels),
        resolution=1.0,
    )
