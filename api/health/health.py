"""The route of the health of all components, now or at a time in the past."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.http.context import AppContext, KnownRequest
from api.http.documents import NOT_MODIFIED, answer
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from health import status as health
from model.errors import InvalidError
from model.principal import holder_of
from model.times import parse_time, utc_now

At = Annotated[
    str | None,
    QueryParameter(description="A time in the past: RFC 3339, epoch seconds, or such as -24h."),
]


@get(
    f"{BASE}/health",
    opt={CONCURRENCY: Concurrency.NONE},
    responses=NOT_MODIFIED,
    tags=["health"],
    summary="Overall health, and the health of each component",
)
async def read(
    request: KnownRequest, context: NamedDependency[AppContext], at: At = None
) -> Response[health.Health]:
    limiters, key = context.limiters, holder_of(request.user)
    if at is None:
        async with limiters[Concurrency.PRESENT].slot(key):
            return await answer(
                request, await context.live.documents.health(await context.present())
            )
    now = utc_now()
    moment = parse_time(at, now)
    if moment > now:
        raise InvalidError("at must be in the past; leave it out for the present state")
    async with limiters[Concurrency.REQUESTS].slot(key), context.connect() as connection:
        return Response(health.document(await health.read_at(connection, moment)))
