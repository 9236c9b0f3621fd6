"""The security audit, and the samples that rules see of it."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from db import queries
from db.queries import Connection
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
"""It has no health: nothing says that it is up."""


class Type(StrEnum):
    """What happened. A key of role admin is `admin_created`, and no `key_created` beside it."""

    SIGN_IN_FAILED = "sign_in_failed"
    KEY_REFUSED = "key_refused"
    FORBIDDEN = "forbidden"
    SETTING_CHANGED = "setting_changed"
    RULE_CHANGED = "rule_changed"
    SUPPRESSION_CHANGED = "suppression_changed"
    CHANNEL_CHANGED = "channel_changed"
    CONTACT_CHANGED = "contact_changed"
    SCHEDULE_CHANGED = "schedule_changed"
    KEY_CREATED = "key_created"
    KEY_REVOKED = "key_revoked"
    ADMIN_CREATED = "admin_created"
    FIRST_ADMIN_CREATED = "first_admin_created"


REFUSALS = (Type.SIGN_IN_FAILED, Type.KEY_REFUSED, Type.FORBIDDEN)
"""What others cause, as often as they like."""


class Event(Struct, frozen=True):
    """Something that happened `count` times alike, the first at `time`. It holds no secret."""

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


async def log(connection: Connection, *events: Event) -> None:
    """Write events to the audit, in the transaction of what they tell."""
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
    """Store how many events of each type and actor came since the slot before, and return it.

    An actor is somebody known, so the keys bound the series. All in one transaction: no event is
    lost and none is counted twice, whoever dies, and however many replicas take this turn.
    """
    types = [one.value for one in Type]
    async with connection.transaction():
        found = await queries.rows(
            connection, _Counted, COUNT, at=at, types=types, set_back_max=SET_BACK_MAX
        )
        samples = [Sample(_series(one), at, one.count) for one in found]
        await insert(connection, SeriesNumbers(), samples)
    return samples


async def past(
    connection: Connection,
    wanted: Type | None,
    start: datetime,
    end: datetime,
    before: int,
    limit: int,
) -> list[Logged]:
    """Return what happened in a range of time, newest first, from below an id."""
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
    """Delete refusals of before a time; what was changed is kept."""
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
