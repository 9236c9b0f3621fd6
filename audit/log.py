"""The security audit: what was changed or refused, by whom."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
LOG = _QUERIES["log"]
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
