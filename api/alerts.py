"""Alerts: those that are open, those of the past, and what people do to them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from api.door import ROLE
from api.errors import documented
from api.limits import CONCURRENCY, Concurrency
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import settle
from api.times import parse_time
from db import alerts, events
from db.queries import Connection
from vigia.model import (
    Category,
    ConflictError,
    Level,
    Lines,
    NotFoundError,
    Principal,
    Role,
    utc_now,
)

OnlyLevel = Annotated[Level | None, QueryParameter(description="Only alerts of this level.")]
OnlyCategory = Annotated[Category | None, QueryParameter(description="Only this category.")]
OnlyComponent = Annotated[str | None, QueryParameter(description="Only this component.")]
HeldNow = Annotated[
    bool | None, QueryParameter(description="Only those that are held back now, or that are not.")
]
HeldEver = Annotated[
    bool | None, QueryParameter(description="Only those that were ever held back, or never.")
]
OnlyRule = Annotated[str | None, QueryParameter(description="Only alerts of this rule.")]
OnlyState = Annotated[
    alerts.State | None,
    QueryParameter(name="state", description="Only those in this state now."),
]
WithSteps = Annotated[
    bool, QueryParameter(name="events", description="Whether each has its steps, in `events`.")
]
Start = Annotated[str, QueryParameter(description="Open then or later: a time, or such as -7d.")]
End = Annotated[str, QueryParameter(description="Opened before: a time, or `now`.")]

CONFLICT = {409: documented("The alert is in a state that does not allow this.")}
Act = Callable[[Connection, int, datetime, str], Awaitable[bool]]


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """Why someone acts; it is kept with the step."""

    comment: Lines = ""


class Comment(Struct, frozen=True, forbid_unknown_fields=True):
    """What someone has to say."""

    comment: Annotated[Lines, Meta(min_length=1)]


class AlertWithSteps(alerts.Alert, frozen=True):
    """An alert and every step of its life, oldest first; of a list, where they were asked for."""

    events: list[alerts.Logged] | UnsetType = UNSET


@get(f"{BASE}/alerts/active", tags=["alerts"], summary="Open alerts, newest first")
async def active(
    parts: NamedDependency[Parts],
    level: OnlyLevel = None,
    category: OnlyCategory = None,
    component: OnlyComponent = None,
    rule: OnlyRule = None,
    in_state: OnlyState = None,
    held: HeldNow = None,
    steps: WithSteps = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[AlertWithSteps]:
    wanted = alerts.Filter(
        level=level,
        category=category,
        component=component,
        rule=rule,
        state=in_state,
        held=held,
        before=position(cursor, alerts.ID_MAX),
    )
    async with parts.connect() as connection:
        found = await alerts.active(connection, wanted, limit + 1)
        return await _page(connection, found, limit, steps=steps)


@get(
    f"{BASE}/alerts/history",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["alerts"],
    summary="Alerts that were open in a range of time",
)
async def past(
    parts: NamedDependency[Parts],
    start: Start = "-7d",
    end: End = "now",
    level: OnlyLevel = None,
    category: OnlyCategory = None,
    component: OnlyComponent = None,
    rule: OnlyRule = None,
    in_state: OnlyState = None,
    held: HeldEver = None,
    steps: WithSteps = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[AlertWithSteps]:
    now = utc_now()
    wanted = alerts.Filter(
        level=level,
        category=category,
        component=component,
        rule=rule,
        state=in_state,
        held=held,
        before=position(cursor, alerts.ID_MAX),
    )
    span = parse_time(start, now), parse_time(end, now)
    async with parts.connect() as connection:
        found = await alerts.past(connection, wanted, *span, limit + 1)
        return await _page(connection, found, limit, steps=steps)


@get(f"{BASE}/alerts/{{alert_id:int}}", tags=["alerts"], summary="One alert with its steps")
async def one(parts: NamedDependency[Parts], alert_id: FromPath[int]) -> AlertWithSteps:
    async with parts.connect() as connection:
        return await _with_steps(connection, alert_id)


@post(
    f"{BASE}/alerts/{{alert_id:int}}/resolve",
    status_code=200,
    opt={ROLE: Role.OPERATOR},
    responses=CONFLICT,
    tags=["alerts"],
    summary="Resolve an alert by hand",
)
async def resolve(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    alert_id: FromPath[int],
    data: JSONBody[Note | None] = None,
) -> alerts.Alert:
    return await _take(parts, alerts.resolve, alert_id, request.user, "resolved", data)


@post(
    f"{BASE}/alerts/{{alert_id:int}}/acknowledge",
    status_code=200,
    opt={ROLE: Role.OPERATOR},
    responses=CONFLICT,
    tags=["alerts"],
    summary="Say that someone is on it",
)
async def acknowledge(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    alert_id: FromPath[int],
    data: JSONBody[Note | None] = None,
) -> alerts.Alert:
    return await _take(parts, alerts.acknowledge, alert_id, request.user, "acknowledged", data)


@post(
    f"{BASE}/alerts/{{alert_id:int}}/reopen",
    status_code=200,
    opt={ROLE: Role.OPERATOR},
    responses=CONFLICT,
    tags=["alerts"],
    summary="Let a resolved alert fire again",
)
async def reopen(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    alert_id: FromPath[int],
    data: JSONBody[Note | None] = None,
) -> alerts.Alert:
    """Open it again; 409 if its rule is gone, or a newer alert is about the same."""
    async with parts.connect() as connection, connection.transaction():
        await _step(connection, alerts.reopen, alert_id, request.user, "reopened", data)
        await settle(parts, connection, utc_now(), request.user.name, [alert_id])
        alert = await _read(connection, alert_id)
    parts.announce()
    return alert


@post(
    f"{BASE}/alerts/{{alert_id:int}}/comment",
    status_code=201,
    opt={ROLE: Role.OPERATOR},
    tags=["alerts"],
    summary="Say something about an alert, open or past",
)
async def comment(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    alert_id: FromPath[int],
    data: JSONBody[Comment],
) -> AlertWithSteps:
    async with parts.connect() as connection, connection.transaction():
        await _read(connection, alert_id)
        name = request.user.name
        await alerts.log_step(connection, alert_id, utc_now(), "commented", name, data.comment)
        return await _with_steps(connection, alert_id)


async def _take(
    parts: Parts, act: Act, alert_id: int, actor: Principal, kind: str, note: Note | None
) -> alerts.Alert:
    """Let someone act on an alert, and tell everybody. Raises NotFoundError or ConflictError."""
    async with parts.connect() as connection, connection.transaction():
        alert = await _step(connection, act, alert_id, actor, kind, note)
        await events.append(connection, utc_now(), alerts.news([alert]))
    parts.announce()
    return alert


async def _step(
    connection: Connection, act: Act, alert_id: int, actor: Principal, kind: str, note: Note | None
) -> alerts.Alert:
    """Let someone act on an alert, with the audit. Raises NotFoundError or ConflictError."""
    now = utc_now()
    if alert_id > alerts.ID_MAX or not await act(connection, alert_id, now, actor.name):
        alert = await _read(connection, alert_id)
        raise ConflictError(f"alert {alert_id} is {alert.state}; it cannot become {kind}")
    comment = (note or Note()).comment
    await alerts.log_step(connection, alert_id, now, kind, actor.name, comment)
    return await _read(connection, alert_id)


async def _page(
    connection: Connection, found: Sequence[alerts.Alert], limit: int, *, steps: bool
) -> Page[AlertWithSteps]:
    numbered = page(found, limit, lambda alert: alert.id)
    ids = [alert.id for alert in numbered.items] if steps else []
    told = await alerts.steps_of(connection, ids)
    items = [
        AlertWithSteps(**structs.asdict(alert), events=told.get(alert.id, UNSET))
        for alert in numbered.items
    ]
    return Page(items, numbered.cursor)


async def _with_steps(connection: Connection, alert_id: int) -> AlertWithSteps:
    alert = await _read(connection, alert_id)
    steps = await alerts.steps(connection, alert_id)
    return AlertWithSteps(
        **{field: getattr(alert, field) for field in alert.__struct_fields__}, events=steps
    )


async def _read(connection: Connection, alert_id: int) -> alerts.Alert:
    found = await alerts.read(connection, [alert_id]) if alert_id <= alerts.ID_MAX else []
    if not found:
        raise NotFoundError(f"there is no alert {alert_id}")
    return found[0]
