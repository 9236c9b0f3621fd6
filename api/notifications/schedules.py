"""Routes of schedules, which say who is on call when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from audit import log as audit_log
from db.queries import Connection
from model.errors import InvalidError
from model.principal import Role
from model.times import utc_now
from notifications.oncall import recording, schedule_store
from notifications.oncall.schedule_store import ScheduleTerms, StoredSchedule
from notifications.routing import policy_store

SCHEDULES = f"{BASE}/schedules"
TAG = "on-call"
TAKEN = {409: documented("Another schedule has this name.")}
NAMED = {409: documented("A policy names this schedule.")}


class ScheduleBody(ScheduleTerms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to create, or the new state of a schedule. Past shifts do not change.

    It may contain the read-only fields of an answer. Overrides have routes of their own.
    """

    overrides: ReadOnly = UNSET
    recorded_until: ReadOnly = UNSET
    has_calendar: ReadOnly = UNSET
    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(SCHEDULES, opt={ROLE: Role.OPERATOR}, tags=[TAG], summary="Schedules, oldest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[StoredSchedule]:
    async with context.connect() as connection:
        found = await schedule_store.read_all(connection, position(cursor, 0), limit + 1)
    return page(found, limit, lambda schedule: schedule.id)


@asynccontextmanager
async def changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    """Yield the transaction of a change. After its commit, wake the dispatcher."""
    async with context.connect() as connection, connection.transaction():
        yield Change(context, connection, utc_now(), actor)
    context.announce()


async def log(change: Change, detail: str) -> None:
    """Write a change of a schedule to the audit."""
    event = audit_log.Event(
        change.now, audit_log.Type.SCHEDULE_CHANGED, change.actor, detail=detail
    )
    await audit_log.log(change.connection, event)


async def _read(connection: Connection, name: str, _: datetime) -> StoredSchedule | None:
    return await schedule_store.read(connection, name)


async def _insert(change: Change, body: ScheduleBody) -> str:
    await schedule_store.insert(change.connection, _terms(body), change.now, change.actor)
    await recording.notify_changes(change.connection, body.name, change.now)
    await log(change, f"schedule {body.name} created")
    return body.name


async def _update(change: Change, before: StoredSchedule, body: ScheduleBody) -> None:
    if body.name != before.name:
        raise InvalidError(f"name: must be {before.name!r}, as in the path")
    await recording.catch_up(change.connection, body.name, change.now)
    await schedule_store.update(change.connection, _terms(body), change.now, change.actor)
    await recording.notify_changes(change.connection, body.name, change.now)
    await log(change, f"schedule {body.name} changed")


async def _remove(change: Change, before: StoredSchedule) -> None:
    await policy_store.check_unnamed(change.connection, "schedule", before.name)
    await recording.catch_up(change.connection, before.name, change.now)
    await recording.notify_changes(change.connection, before.name, change.now, is_deleted=True)
    await schedule_store.delete(change.connection, before.name)
    await log(change, f"schedule {before.name} deleted")


def _terms(body: ScheduleBody) -> ScheduleTerms:
    names = ScheduleTerms.__struct_fields__
    return ScheduleTerms(**{name: getattr(body, name) for name in names})


RESOURCE = Resource(
    path=SCHEDULES,
    noun="schedule",
    number="name",
    by_name=True,
    tag=TAG,
    role=Role.ADMIN,
    reader=Role.OPERATOR,
    draft=ScheduleBody,
    item=StoredSchedule,
    read=_read,
    changing=changing,
    insert=_insert,
    update=_update,
    remove=_remove,
)
ROUTES = (
    every,
    RESOURCE.one("One schedule, with the overrides that have not ended"),
    RESOURCE.create("Create a schedule", responses=TAKEN),
    RESOURCE.replace("Replace a schedule, except for its overrides"),
    RESOURCE.delete("Delete a schedule and its recorded shifts", responses=NAMED),
)
