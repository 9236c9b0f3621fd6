"""Routes for a person's actions on an alert: resolve, acknowledge, reopen, comment."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from alerts import store as alerts
from alerts.acts import ACKNOWLEDGE, ACTS, REOPEN, RESOLVE, Act, change
from alerts.announcing import announce
from alerts.suppression import suppress
from api.alerts.alerts import AlertWithEvents, read, with_events
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.paths import BASE
from model.principal import Role
from model.text import Lines
from model.times import utc_now

CONFLICT = {409: documented("The state of the alert does not allow this action.")}


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """An optional comment, stored with the transition."""

    comment: Lines = ""


class Comment(Struct, frozen=True, forbid_unknown_fields=True):
    """A comment on an alert."""

    comment: Annotated[Lines, Meta(min_length=1)]


SUMMARIES = {
    RESOLVE.name: "Resolve an alert manually",
    ACKNOWLEDGE.name: "Acknowledge an alert",
    REOPEN.name: "Reopen a resolved alert",
}


def route_of(act: Act) -> HTTPRouteHandler:
    """Return the route of an action, which applies it and announces it."""

    async def handle(
        request: KnownRequest,
        context: NamedDependency[AppContext],
        alert_id: FromPath[int],
        data: JSONBody[Note | None] = None,
    ) -> alerts.Alert:
        now, actor, note = utc_now(), request.user.name, data or Note()
        async with context.connect() as connection, connection.transaction():
            await change(connection, act, alert_id, now, actor, note.comment)
            if act.opens:
                dependencies = context.config().all_dependencies()
                await suppress.apply_and_announce(
                    connection, now, dependencies, actor, context.on_transitions, [alert_id]
                )
            else:
                await announce(connection, now, context.on_transitions, alert_ids=[alert_id])
            alert = await read(connection, alert_id)
        context.announce()
        return alert

    # OpenAPI names the operation after the handler.
    handle.__name__ = act.name
    return post(
        f"{BASE}/alerts/{{alert_id:int}}/{act.name}",
        status_code=200,
        opt={ROLE: Role.OPERATOR},
        responses=CONFLICT,
        tags=["alerts"],
        summary=SUMMARIES[act.name],
    )(handle)


@post(
    f"{BASE}/alerts/{{alert_id:int}}/comment",
    status_code=201,
    opt={ROLE: Role.OPERATOR},
    tags=["alerts"],
    summary="Comment on an open or resolved alert",
)
async def comment(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    alert_id: FromPath[int],
    data: JSONBody[Comment],
) -> AlertWithEvents:
    async with context.connect() as connection, connection.transaction():
        await read(connection, alert_id)
        name = request.user.name
        await alerts.log_transition(
            connection, alert_id, utc_now(), "commented", name, data.comment
        )
        return await with_events(connection, alert_id)


ROUTES = (*map(route_of, ACTS.values()), comment)
