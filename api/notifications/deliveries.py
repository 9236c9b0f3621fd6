"""Routes of the delivery log, and of sending a delivery again."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE
from model.principal import Role
from model.times import utc_now
from notifications.outbox import deliveries
from notifications.outbox.deliveries import ID_MAX, Delivery, Filter, State

DELIVERIES = f"{BASE}/deliveries"

OnlyState = Annotated[
    State | None, QueryParameter(name="state", description="Only deliveries in this state.")
]
OnlyChannel = Annotated[str | None, QueryParameter(description="Only deliveries of this channel.")]
OnlyAlert = Annotated[
    int | None,
    QueryParameter(name="alert", ge=1, le=ID_MAX, description="Only deliveries about this alert."),
]


@get(
    DELIVERIES,
    opt={ROLE: Role.OPERATOR},
    tags=["channels"],
    summary="Deliveries, newest first: sent, waiting and failed",
)
async def every(
    context: NamedDependency[AppContext],
    in_state: OnlyState = None,
    channel: OnlyChannel = None,
    about: OnlyAlert = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[Delivery]:
    wanted = Filter(
        state=in_state, channel=channel, alert_id=about, before=position(cursor, ID_MAX)
    )
    async with context.connect() as connection:
        found = await deliveries.read_all(connection, wanted, limit + 1)
    return page(found, limit, lambda delivery: delivery.id)


@get(
    f"{DELIVERIES}/{{delivery_id:int}}",
    opt={ROLE: Role.OPERATOR},
    tags=["channels"],
    summary="One delivery",
)
async def one(context: NamedDependency[AppContext], delivery_id: FromPath[int]) -> Delivery:
    async with context.connect() as connection:
        return await deliveries.read(connection, delivery_id)


@post(
    f"{DELIVERIES}/{{delivery_id:int}}/replay",
    status_code=200,
    opt={ROLE: Role.OPERATOR},
    responses={409: documented("The delivery still waits, or its channel was deleted.")},
    tags=["channels"],
    summary="Send a delivery again, with the same idempotency key",
)
async def replay(context: NamedDependency[AppContext], delivery_id: FromPath[int]) -> Delivery:
    async with context.connect() as connection:
        replayed = await deliveries.replay(connection, delivery_id, utc_now())
    context.announce()
    return replayed


ROUTES = (every, one, replay)
