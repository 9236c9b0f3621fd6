"""Calendar feeds: URLs that a calendar reads without a key, until they are revoked."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from litestar import Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromPath
from msgspec import Struct

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.notifications import contacts, schedules
from api.notifications.contacts import CONTACTS
from api.notifications.schedules import SCHEDULES
from audit.log import Type
from db.queries import Connection
from model.errors import NotFoundError
from model.principal import Role
from model.times import utc_now
from notifications.oncall import calendar_store, schedule_store
from notifications.oncall.calendar_store import Feed
from notifications.oncall.schedule import Schedule
from runtime.settings import Secret

PATH = "/calendar/{file:str}"
SUFFIX = ".ics"
MEDIA_TYPE = "text/calendar"
OF_SCHEDULE = f"{SCHEDULES}/{{name:str}}/calendar"
OF_CONTACT = f"{CONTACTS}/{{name:str}}/calendar"
TAG = "on-call"
PAST = timedelta(days=62)
"""A feed starts with the previous month, so it never needs more than two months of past shifts."""


class CalendarFeed(Struct, frozen=True, kw_only=True):
    """The URL of a feed. No other answer contains its token."""

    url: str


@get(PATH, include_in_schema=False)
async def read(
    request: Request[Any, Any, Any], context: NamedDependency[AppContext], file: FromPath[str]
) -> Response[bytes]:
    """Return the feed of a token.

    A wrong token gets the same answer as a wrong key, with the same delay, so that guessing is as
    slow.
    """
    now, token = utc_now(), file.removesuffix(SUFFIX)
    async with context.auth.throttle.looking_up(request.scope), context.connect() as connection:
        feed = await calendar_store.find(connection, token) if token != file else None
        found = [] if feed is None else await _schedules(connection, feed, now)
    if feed is None:
        context.auth.refusals.note(Type.KEY_REFUSED, request.scope)
        await context.auth.throttle.wait(request.scope)
        raise NotAuthorizedException(
            "this calendar address is wrong or was revoked; create a new one"
        )
    content = await asyncio.to_thread(_written, feed, found, now)
    return Response(content, media_type=MEDIA_TYPE)


@post(
    OF_SCHEDULE,
    opt={ROLE: Role.ADMIN},
    tags=[TAG],
    summary="Create the address of a schedule's calendar and revoke the earlier one",
)
async def create_of_schedule(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> CalendarFeed:
    async with schedules.changing(context, request.user.name) as change:
        token = await calendar_store.of_schedule(change.connection, name, change.now, change.actor)
        feed = _made(context, token, f"there is no schedule {name[:100]!r}")
        await schedules.log(change, f"schedule {name}: calendar created")
    return feed


@delete(
    OF_SCHEDULE,
    opt={ROLE: Role.ADMIN},
    tags=[TAG],
    summary="Revoke the address of a schedule's calendar",
)
async def revoke_of_schedule(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> None:
    async with schedules.changing(context, request.user.name) as change:
        if not await calendar_store.end_of_schedule(change.connection, name):
            raise NotFoundError(f"there is no calendar of a schedule {name[:100]!r}")
        await schedules.log(change, f"schedule {name}: calendar revoked")


@post(
    OF_CONTACT,
    opt={ROLE: Role.ADMIN},
    tags=[TAG],
    summary="Create the address of a person's calendar and revoke the earlier one",
)
async def create_of_contact(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> CalendarFeed:
    async with contacts.changing(context, request.user.name) as change:
        token = await calendar_store.of_contact(change.connection, name, change.now, change.actor)
        feed = _made(context, token, f"there is no contact {name[:100]!r}")
        await contacts.log(change, f"contact {name}: calendar created")
    return feed


@delete(
    OF_CONTACT,
    opt={ROLE: Role.ADMIN},
    tags=[TAG],
    summary="Revoke the address of a person's calendar",
)
async def revoke_of_contact(
    request: KnownRequest, context: NamedDependency[AppContext], name: FromPath[str]
) -> None:
    async with contacts.changing(context, request.user.name) as change:
        if not await calendar_store.end_of_contact(change.connection, name):
            raise NotFoundError(f"there is no calendar of a contact {name[:100]!r}")
        await contacts.log(change, f"contact {name}: calendar revoked")


def _made(context: AppContext, token: Secret | None, missing: str) -> CalendarFeed:
    if token is None:
        raise NotFoundError(missing)
    return CalendarFeed(url=f"{context.settings.url}/calendar/{token.reveal()}{SUFFIX}")


async def _schedules(connection: Connection, feed: Feed, now: datetime) -> list[Schedule]:
    """Return the schedule of a feed, or all schedules, which may contain the person."""
    start = now - PAST
    if feed.schedule is not None:
        schedule = await schedule_store.load(connection, feed.schedule, start, now)
        return [schedule] if schedule else []
    return [schedule for _, schedule in await schedule_store.load_all(connection, start, now)]


def _written(feed: Feed, found: list[Schedule], now: datetime) -> bytes:
    from notifications.oncall.calendar_feed import of_person, of_schedule  # noqa: PLC0415 (0.2 s)

    if feed.person is not None:
        return of_person(feed.person, found, now)
    return of_schedule(found[0], now)


REVOCABLE = (create_of_schedule, revoke_of_schedule, create_of_contact, revoke_of_contact)
OPEN_ROUTES = (read,)
