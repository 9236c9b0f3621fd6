"""Stores routes and their order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from db import queries
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from model.times import duration_text, whole_seconds
from notifications import channel_store
from notifications.oncall.rotation import ActiveHours
from notifications.routing import policy_store
from notifications.routing.model import ROUTES_MAX, Route, RouteMatcher

_QUERIES = queries.load(__file__)
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
WRITE_CHANNELS = _QUERIES["write_channels"]
PLACE = _QUERIES["place"]
DELETE = _QUERIES["delete"]
READ = _QUERIES["read"]
CHANNELS = _QUERIES["channels"]
ROUTES_OF_CHANNEL = _QUERIES["routes_of_channel"]


class StoredRoute(Route, frozen=True, kw_only=True):
    """A route as it is stored."""

    id: int
    position: int
    """The position among all routes, from 1."""
    updated_at: datetime
    updated_by: str


class _Row(Struct, frozen=True, kw_only=True):
    id: int
    name: str
    title: str
    position: int
    matcher: RouteMatcher
    goes_on: bool
    policy: str | None
    group_by: list[str]
    group_wait_s: int
    group_interval_s: int
    repeat_s: int
    quiet_hours: list[ActiveHours]
    tz: str
    enabled: bool
    channels: list[str]
    updated_at: datetime
    updated_by: str

    def stored(self) -> StoredRoute:
        fields = msgspec.structs.asdict(self)
        for name in ("group_wait", "group_interval", "repeat"):
            fields[name] = duration_text(fields.pop(f"{name}_s"))
        return StoredRoute(continue_=fields.pop("goes_on"), **fields)


async def insert(
    connection: Connection, route: Route, position: int | None, now: datetime, actor: str
) -> None:
    """Store a new route at a position. None: after all others.

    Raises InvalidError if its name is reserved or a channel or policy does not exist, and
    ConflictError if the name is taken or there are too many routes.
    """
    policy_store.check_name(route.name)
    await _check(connection, route)
    if len(await _rows(connection)) >= ROUTES_MAX:
        raise ConflictError(f"there are already {ROUTES_MAX} routes; delete one first")
    try:
        await queries.run(connection, INSERT, **_parameters(route), now=now, actor=actor)
    except psycopg.errors.UniqueViolation:
        raise ConflictError(
            f"a route named {route.name!r} already exists; choose another name"
        ) from None
    await _write(connection, route, position)


async def update(
    connection: Connection, route: Route, position: int | None, now: datetime, actor: str
) -> None:
    """Replace the route with this name. Without `position` it keeps its position.

    Raises InvalidError if a channel or policy does not exist.
    """
    await _check(connection, route)
    await queries.run(connection, UPDATE, **_parameters(route), now=now, actor=actor)
    await _write(connection, route, position)


async def delete(connection: Connection, name: str) -> None:
    """Delete a route and its groups."""
    await queries.run(connection, DELETE, name=name)
    await queries.run(connection, PLACE, name=None, position=None)


async def read_all(
    connection: Connection, after: int = 0, limit: int | None = None
) -> list[StoredRoute]:
    """Return routes in their order, from after a position."""
    return await _rows(connection, after=after, limit=limit)


async def read(connection: Connection, name: str) -> StoredRoute | None:
    """Return the route with a name, or None."""
    found = await _rows(connection, name=name)
    return found[0] if found else None


async def read_enabled(connection: Connection) -> list[StoredRoute]:
    """Return the enabled routes in their order."""
    return await _rows(connection, enabled=True)


async def routes_of_channel(connection: Connection, channel_id: int) -> list[str]:
    """Return the names of the routes that use a channel."""
    cursor = await connection.execute(ROUTES_OF_CHANNEL, {"channel_id": channel_id})
    return [name for (name,) in await cursor.fetchall()]


async def _rows(
    connection: Connection,
    *,
    name: str | None = None,
    after: int = 0,
    limit: int | None = None,
    enabled: bool = False,
) -> list[StoredRoute]:
    found = await queries.rows(
        connection, _Row, READ, name=name, after=after, limit=limit, enabled=enabled
    )
    return [row.stored() for row in found]


async def _check(connection: Connection, route: Route) -> None:
    cursor = await connection.execute(CHANNELS)
    channels = [name for (name,) in await cursor.fetchall()]
    for channel in route.channels:
        if channel not in channels:
            raise InvalidError(
                f"channels: there is no channel {channel!r}; {_known('channels', channels)}"
            )
    await channel_store.check_take_alerts(connection, "channels", route.channels)
    await policy_store.keep(connection)
    policies = await policy_store.names(connection)
    if route.policy is not None and route.policy not in policies:
        raise InvalidError(
            f"policy: there is no policy {route.policy!r}; {_known('policies', policies)}"
        )


def _known(things: str, names: Sequence[str]) -> str:
    return f"the {things} are: {', '.join(names)}" if names else f"there are no {things} yet"


async def _write(connection: Connection, route: Route, position: int | None) -> None:
    await queries.run(connection, WRITE_CHANNELS, name=route.name, channels=list(route.channels))
    await queries.run(connection, PLACE, name=route.name, position=position)


def _parameters(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "title": route.title,
        "matcher": Jsonb(route.matcher),
        "goes_on": route.continue_,
        "policy": route.policy,
        "group_by": list(route.group_by),
        "group_wait_s": whole_seconds(route.group_wait),
        "group_interval_s": whole_seconds(route.group_interval),
        "repeat_s": whole_seconds(route.repeat),
        "quiet_hours": Jsonb(route.quiet_hours),
        "tz": route.tz,
        "enabled": route.enabled,
    }
