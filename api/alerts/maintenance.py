"""Routes of maintenance windows: planned work whose alerts notify nobody."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET

from alerts.suppression import maintenance as windows
from alerts.suppression.maintenance import Plan, StoredWindow, Window
from api.alerts.suppression import changing, log
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.http.resource import Change, ReadOnly, Resource
from api.paths import BASE
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.principal import Role
from model.times import Moment, parse_time

MAINTENANCE = f"{BASE}/maintenance"
TAKEN = {409: documented("A window with this name already exists.")}


class WindowDraft(Plan, frozen=True, kw_only=True):
    """A maintenance window as it is sent to create or replace one.

    A one-off window lasts from `starts_at` to `ends_at`. For a recurring window both are optional
    and limit when it recurs. Read-only fields of a GET response are accepted and ignored.
    """

    starts_at: Moment | None = None
    ends_at: Moment | None = None
    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(MAINTENANCE, tags=["maintenance"], summary="All maintenance windows, oldest first")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[StoredWindow]:
    after = position(cursor, 0)
    async with context.connect() as connection:
        found = await windows.read(connection, after=after, limit=limit + 1)
    return page(found, limit, lambda window: window.id)


async def _read(connection: Connection, number: int, _now: datetime) -> StoredWindow | None:
    found = await windows.read(connection, number)
    return found[0] if found else None


async def _insert(change: Change, draft: WindowDraft) -> int:
    window = _window(draft, change.now)
    number = await windows.insert(change.connection, window, change.now, change.actor)
    if number is None:
        raise _taken(draft.name)
    await log(change, f"maintenance {draft.name} created")
    return number


async def _update(change: Change, before: StoredWindow, draft: WindowDraft) -> None:
    window = _window(draft, change.now)
    if not await windows.update(change.connection, before.id, window, change.now, change.actor):
        raise _taken(draft.name)
    await log(change, f"maintenance {before.name} changed")


async def _end(change: Change, before: StoredWindow) -> None:
    await windows.end(change.connection, before.id, change.now, change.actor)
    await log(change, f"maintenance {before.name} ended")


def _window(draft: WindowDraft, now: datetime) -> Window:
    limits = {"starts_at": draft.starts_at, "ends_at": draft.ends_at}
    moments = {k: None if text is None else parse_time(text, now) for k, text in limits.items()}
    fields = {name: getattr(draft, name) for name in Window.__struct_fields__}
    try:
        return Window(**{**fields, **moments})
    except ValueError as error:
        raise InvalidError(str(error)) from None


def _taken(name: str) -> ConflictError:
    return ConflictError(f"a maintenance window named {name!r} already exists; choose another name")


RESOURCE = Resource(
    path=MAINTENANCE,
    noun="maintenance window",
    number="window_id",
    tag="maintenance",
    role=Role.OPERATOR,
    draft=WindowDraft,
    item=StoredWindow,
    read=_read,
    changing=changing,
    insert=_insert,
    update=_update,
    remove=_end,
)
ROUTES = (
    every,
    RESOURCE.one("One maintenance window"),
    RESOURCE.create("Create a maintenance window, one-off or recurring", responses=TAKEN),
    RESOURCE.replace("Replace a maintenance window", responses=TAKEN),
    RESOURCE.delete("Remove a maintenance window; previews still consider its past"),
)
