"""Routes of the API for routes, which send alerts to channels or a policy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta

from alerts import clock
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
from notifications.routing import route_store
from notifications.routing.flushing import flush_route
from notifications.routing.model import ROUTES_MAX, Route
from notifications.routing.route_store import StoredRoute

PATH = f"{BASE}/routes"
TAG = "channels"
TAKEN = {409: documented("Another route has this name, or there are too many.")}


class RouteBody(Route, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A route to create, or the new state of a route.

    It may contain the read-only fields of an answer.
    """

    position: Annotated[int, Meta(ge=1, le=ROUTES_MAX)] | None = None
    """The position among all routes, from 1. By default a new route is last and others stay."""
    id: ReadOnly = UNSET
    updated_at: ReadOnly = UNSET
    updated_by: ReadOnly = UNSET


@get(PATH, opt={ROLE: Role.OPERATOR}, tags=[TAG], summary="Routes in the order of their positions")
async def every(
    context: NamedDependency[AppContext], limit: Limit = LIMIT, cursor: Cursor = None
) -> Page[StoredRoute]:
    async with context.connect() as connection:
        found = await route_store.read_all(connection, position(cursor, 0), limit + 1)
    return page(found, limit, lambda route: route.position)


@asynccontextmanager
async def _changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    """Yield the transaction of a change. After its commit, wake the dispatcher.

    The lock stops the evaluation of alerts. Otherwise an alert could join a group after the group
    was sent, and be lost when the group is deleted with the route.
    """
    async with context.connect() as connection, connection.transaction():
        await clock.lock(connection)
        yield Change(context, connection, utc_now(), actor)
    context.announce()


async def _read(connection: Connection, name: str, _: datetime) -> StoredRoute | None:
    return await route_store.read(connection, name)


async def _insert(change: Change, body: RouteBody) -> str:
    await route_store.insert(
        change.connection, _route(body), body.position, change.now, change.actor
    )
    await _log(change, f"route {body.name} created")
    return body.name


async def _update(change: Change, before: StoredRoute, body: RouteBody) -> None:
    if body.name != before.name:
        raise InvalidError(f"name: must be {before.name!r}, as in the path")
    if before.enabled and not body.enabled:
        await flush_route(change.connection, before.name, change.now)
    await route_store.update(
        change.connection, _route(body), body.position, change.now, change.actor
    )
    await _log(change, f"route {body.name} changed")


async def _remove(change: Change, before: StoredRoute) -> None:
    await flush_route(change.connection, before.name, change.now)
    await route_store.delete(change.connection, before.name)
    await _log(change, f"route {before.name} deleted")


def _route(body: RouteBody) -> Route:
    return Route(**{name: getattr(body, name) for name in Route.__struct_fields__})


async def _log(change: Change, detail: str) -> None:
    event = audit_log.Event(change.now, audit_log.Type.ROUTE_CHANGED, change.actor, detail=detail)
    await audit_log.log(change.connection, event)


RESOURCE = Resource(
    path=PATH,
    noun="route",
    number="name",
    by_name=True,
    tag=TAG,
    role=Role.ADMIN,
    reader=Role.OPERATOR,
    draft=RouteBody,
    item=StoredRoute,
    read=_read,
    changing=_changing,
    insert=_insert,
    update=_update,
    remove=_remove,
)
ROUTES = (
    every,
    RESOURCE.one("One route"),
    RESOURCE.create("Create a route", responses=TAKEN),
    RESOURCE.replace("Replace a route; disabling it first sends the messages that its groups hold"),
    RESOURCE.delete("Delete a route, after sending the messages that its groups hold"),
)
