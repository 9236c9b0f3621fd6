"""The state of every component, now or at a moment of the past."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.documents import NOT_MODIFIED, answer
from api.limits import CONCURRENCY, Concurrency
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.times import parse_time
from db import health
from vigia.model import InvalidError, utc_now

At = Annotated[
    str | None,
    QueryParameter(description="A moment of the past: RFC 3339, epoch seconds, or such as -24h."),
]


@get(
    f"{BASE}/health",
    opt={CONCURRENCY: Concurrency.NONE},
    responses=NOT_MODIFIED,
    tags=["health"],
    summary="State of the whole and of each component",
)
async def read(
    request: KnownRequest, parts: NamedDependency[Parts], at: At = None
) -> Response[health.Health]:
    limiters, name = parts.limiters, request.user.name
    if at is None:
        async with limiters[Concurrency.PRESENT].slot(name):
            return await answer(request, await parts.live.documents.health(await parts.present()))
    now = utc_now()
    moment = parse_time(at, now)
    if moment > now:
        raise InvalidError("at must not be in the future")
    async with limiters[Concurrency.REQUESTS].slot(name), parts.connect() as connection:
        return Response(health.document(await health.read_at(connection, moment)))
