"""Maintenance windows: planned work, of which nobody wants to be told."""

from datetime import datetime

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET

from api.door import ROLE
from api.errors import documented
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import changing, tell
from api.read_only import ReadOnly
from api.times import Moment, parse_time
from db import windows
from db.alerts import ID_MAX
from db.queries import Connection
from db.windows import Plan, Stored, Window
from vigia.model import ConflictError, InvalidError, NotFoundError, Role

MAINTENANCE = f"{BASE}/maintenance"
TAKEN = {409: documented("There is a window of this name.")}


class Draft(Plan, frozen=True, kw_only=True):
    """A plan; once, from `starts_at` to `ends_at`; recurring, these limit it if they are given.

    What GET says of a window besides may be given back.
    """

    starts_at: Moment | None = None
    ends_at: Moment | None = None
    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(MAINTENANCE, tags=["maintenance"], summary="Every window, in the order they were made")
async def every(
    parts: NamedDependency[Parts], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[Stored]:
    after = position(cursor, 0)
    async with parts.connect() as connection:
        found = await windows.read(connection, after=after, limit=limit + 1)
    return page(found, limit, lambda window: window.id)


@get(f"{MAINTENANCE}/{{window_id:int}}", tags=["maintenance"], summary="One window")
async def one(parts: NamedDependency[Parts], window_id: FromPath[int]) -> Stored:
    async with parts.connect() as connection:
        return await _read(connection, window_id)


@post(
    MAINTENANCE,
    opt={ROLE: Role.OPERATOR},
    responses=TAKEN,
    tags=["maintenance"],
    summary="Plan work, once or again and again",
)
async def create(
    request: KnownRequest, parts: NamedDependency[Parts], data: JSONBody[Draft]
) -> Stored:
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        number = await windows.insert(connection, _window(data, now), now, actor)
        if number is None:
            raise _taken(data.name)
        await tell(connection, now, actor, f"maintenance {data.name} made")
        return await _read(connection, number)


@put(
    f"{MAINTENANCE}/{{window_id:int}}",
    opt={ROLE: Role.OPERATOR},
    responses=TAKEN,
    tags=["maintenance"],
    summary="Replace a window",
)
async def replace(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    window_id: FromPath[int],
    data: JSONBody[Draft],
) -> Stored:
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        before = await _read(connection, window_id)
        if not await windows.update(connection, window_id, _window(data, now), now, actor):
            raise _taken(data.name)
        await tell(connection, now, actor, f"maintenance {before.name} changed")
        return await _read(connection, window_id)


@delete(
    f"{MAINTENANCE}/{{window_id:int}}",
    opt={ROLE: Role.OPERATOR},
    tags=["maintenance"],
    summary="End a window for good; what has been stays in previews and views",
)
async def remove(
    request: KnownRequest, parts: NamedDependency[Parts], window_id: FromPath[int]
) -> None:
    actor = request.user.name
    async with changing(parts, actor) as (connection, now):
        before = await _read(connection, window_id)
        await windows.end(connection, window_id, now, actor)
        await tell(connection, now, actor, f"maintenance {before.name} ended")


def _window(draft: Draft, now: datetime) -> Window:
    limits = {"starts_at": draft.starts_at, "ends_at": draft.ends_at}
    moments = {k: None if text is None else parse_time(text, now) for k, text in limits.items()}
    fields = {name: getattr(draft, name) for name in Window.__struct_fields__}
    try:
        return Window(**{**fields, **moments})
    except ValueError as error:
        raise InvalidError(str(error)) from None


async def _read(connection: Connection, number: int) -> Stored:
    found = await windows.read(connection, number) if number < ID_MAX else []
    if not found:
        raise NotFoundError(f"there is no maintenance window {number}")
    return found[0]


def _taken(name: str) -> ConflictError:
    return ConflictError(f"there is a maintenance window {name!r}; names are told apart")
