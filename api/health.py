"""The state of every component, now or at a moment of the past."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from api.parts import Parts
from api.probes import BASE
from api.times import parse_time
from db import health
from vigia.model import InvalidError, utc_now

At = Annotated[
    str | None,
    QueryParameter(description="A moment of the past: RFC 3339, epoch seconds, or such as -24h."),
]


@get(f"{BASE}/health", tags=["health"], summary="State of the whole and of each component")
async def read(parts: NamedDependency[Parts], at: At = None) -> health.Health:
    now = utc_now()
    moment = now if at is None else parse_time(at, now)
    if moment > now:
        raise InvalidError("at must not be in the future")
    async with parts.connect() as connection:
        if at is None:
            return health.document(await health.read(connection))
        return health.document(await health.read_at(connection, moment))
