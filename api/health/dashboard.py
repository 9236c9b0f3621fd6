"""The route that returns all data of the first page in one response."""

from datetime import datetime

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from alerts import store as alerts
from api.health.health import At
from api.http.context import AppContext, KnownRequest
from api.http.documents import NOT_MODIFIED, answer
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from health import status as health
from model.errors import InvalidError
from samples import current


class Dashboard(Struct, frozen=True):
    """The present state; a live client resumes from `seq` without missing an event."""

    time: datetime
    seq: int
    health: health.Health
    uptime: dict[str, float | None]
    """Availability of each component over the last 24 h, in percent."""
    metrics: current.CurrentMetrics
    alerts: list[alerts.Alert]


@get(
    f"{BASE}/dashboard",
    opt={CONCURRENCY: Concurrency.PRESENT},
    responses=NOT_MODIFIED,
    tags=["health"],
    summary="All data of the first page",
)
async def dashboard(
    request: KnownRequest, context: NamedDependency[AppContext], at: At = None
) -> Response[Dashboard]:
    if at is not None:
        raise InvalidError("at is not supported here yet; leave it out for the present state")
    state = await context.present()
    return await answer(request, await context.live.documents.dashboard(state))
