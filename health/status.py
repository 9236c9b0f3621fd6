"""The health status of each component: checked once a slot, and read for any time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.limits import FUTURE_MAX
from model.series import Category
from model.severity import Status

_QUERIES = queries.load(__file__)
_PARTS = queries.load_parts(__file__)
CHECK = queries.fill(_QUERIES["check"], verdict=_PARTS["verdict"], seen=_PARTS["seen_now"])
RECORD_MISSED = queries.fill(
    _QUERIES["record_missed"], verdict=_PARTS["verdict"], seen=_PARTS["seen_then"]
)
NEWEST_CHECK = _QUERIES["newest_check"]
RECORD_OUTAGE = _QUERIES["record_outage"]
FORGET_STATUS = _QUERIES["forget_status"]
FORGET_NEWEST = _QUERIES["forget_newest"]
READ = _QUERIES["read"]
READ_AT = _QUERIES["read_at"]

STALE_MIN = timedelta(seconds=60)


def stale_after(collect_s: float) -> timedelta:
    """Return how old the newest sample may be before its component counts as not observed."""
    return max(STALE_MIN, timedelta(seconds=2 * collect_s + 10))


class ComponentStatus(Struct, frozen=True):
    """The state of a component; `status` is None if not observed, `uptime_24h` in percent."""

    component: str
    category: str
    status: Status | None
    since: datetime
    reason: str
    maintenance: bool
    last_check: datetime
    uptime_24h: float | None


class ComponentHealth(Struct, frozen=True):
    """The state of a component in responses and live messages."""

    status: Status | None
    since: datetime
    reason: str
    maintenance: bool
    uptime_24h: float | None
    last_check: datetime


class Health(Struct, frozen=True):
    """The overall status, which is the worst of all observed components, and each component."""

    status: Status | None
    components: dict[str, ComponentHealth]


class Checked(ComponentStatus, frozen=True):
    """The state of a component after a check, and whether the check changed it."""

    changed: bool


class ExpectedComponent(Struct, frozen=True):
    """A component that should exist, and the reason to show while it was never observed."""

    component: str
    category: Category
    reason: str = "not observed"


async def check(
    connection: Connection,
    at: datetime,
    interval_s: float,
    thresholds: Mapping[str, object],
    expected: Sequence[ExpectedComponent] = (),
    stale: timedelta = STALE_MIN,
) -> list[Checked]:
    """Check every component at a slot, which covers `interval_s` seconds; store and return it."""
    return await queries.rows(
        connection,
        Checked,
        CHECK,
        at=at,
        interval_s=interval_s,
        stale=stale,
        future=FUTURE_MAX,
        components=[one.component for one in expected],
        categories=[one.category.value for one in expected],
        reasons=[one.reason for one in expected],
        thresholds=Jsonb(dict(thresholds)),
    )


async def record_outage(
    connection: Connection, slots: Mapping[datetime, float], reason: str
) -> None:
    """Store that the database was down in slots, which are given with their intervals in s."""
    await queries.run(
        connection,
        RECORD_OUTAGE,
        times=list(slots),
        intervals_s=list(slots.values()),
        reason=reason,
    )


async def record_missed(
    connection: Connection,
    at: datetime,
    interval_s: float,
    thresholds: Mapping[str, object],
    stale: timedelta = STALE_MIN,
) -> None:
    """Check a missed slot from stored samples. Existing checks are not changed."""
    await queries.run(
        connection,
        RECORD_MISSED,
        at=at,
        interval_s=interval_s,
        stale=stale,
        components=[],
        categories=[],
        reasons=[],
        thresholds=Jsonb(dict(thresholds)),
    )


async def newest_check(connection: Connection) -> datetime | None:
    """Return the slot of the newest check; None if there is none."""
    found: datetime | None = await queries.value(connection, NEWEST_CHECK)
    return found


async def forget(connection: Connection, component: str) -> None:
    """Stop showing a removed component. Its history stays."""
    await queries.run(connection, FORGET_STATUS, component=component)
    await queries.run(connection, FORGET_NEWEST, component=component)


async def read(connection: Connection) -> list[ComponentStatus]:
    """Return the present state of every component, ordered by name."""
    return await queries.rows(connection, ComponentStatus, READ)


async def read_at(connection: Connection, at: datetime) -> list[ComponentStatus]:
    """Return the state of every component that was checked at a time in the past."""
    return await queries.rows(connection, ComponentStatus, READ_AT, at=at)


def document(
    all_of_them: Iterable[ComponentStatus], shown: Collection[str] | None = None
) -> Health:
    """Return the health document. `shown` limits the components listed, not the overall status."""
    found = list(all_of_them)
    order = list(Status)
    observed = [row.status for row in found if row.status is not None]
    return Health(
        status=max(observed, key=order.index, default=None),
        components={
            row.component: ComponentHealth(
                status=row.status,
                since=row.since,
                reason=row.reason,
                maintenance=row.maintenance,
                uptime_24h=row.uptime_24h,
                last_check=row.last_check,
            )
            for row in found
            if shown is None or row.component in shown
        },
    )
