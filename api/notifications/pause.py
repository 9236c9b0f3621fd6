"""Routes of the pause of all notifications. A restored copy starts paused."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.notifications.deliveries import DELIVERIES
from model.principal import Role
from model.times import utc_now
from notifications.outbox import pause
from notifications.outbox.pause import Pause

REASON_CHARS_MAX = 500


class PauseBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The reason for the pause."""

    reason: Annotated[str, Meta(max_length=REASON_CHARS_MAX)] = ""


@get(
    f"{DELIVERIES}/pause",
    opt={ROLE: Role.ADMIN},
    tags=["channels"],
    summary="Whether notifications are paused, since when and by whom",
)
async def read(context: NamedDependency[AppContext]) -> Pause:
    async with context.connect() as connection:
        return await pause.read(connection)


@post(
    f"{DELIVERIES}/pause",
    status_code=200,
    opt={ROLE: Role.ADMIN},
    responses={409: documented("Notifications are already paused.")},
    tags=["channels"],
    summary="Pause all notifications until they are resumed; messages wait meanwhile",
)
async def begin(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    data: JSONBody[PauseBody | None] = None,
) -> Pause:
    reason = data.reason if data else ""
    async with context.connect() as connection:
        return await pause.pause(connection, utc_now(), request.user.name, reason)


@post(
    f"{DELIVERIES}/resume",
    status_code=200,
    opt={ROLE: Role.ADMIN},
    responses={409: documented("Notifications are not paused.")},
    tags=["channels"],
    summary="Resume notifications; outdated messages are skipped",
)
async def end(request: KnownRequest, context: NamedDependency[AppContext]) -> Pause:
    async with context.connect() as connection:
        resumed = await pause.resume(connection, utc_now(), request.user.name)
    context.announce()
    return resumed


ROUTES = (read, begin, end)
