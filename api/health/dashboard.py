"""Everything the first page needs, in one answer."""

from datetime import datetime

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from alerts import store as alerts
from api.health.health import At
from api.http.context import AppContext, KnownRequest
from api.http.documents import NOT_MODIFIED, answer
from api.http.limits import CONCURRENCY, Concurrency
from api.probes import BASE
from health import status as health
from model.errors import InvalidError
from samples import current


class Dashboard(Struct, frozen=True):
    """The present; `seq` is where a live client resumes from to miss nothing after it."""

    time: datetime
    seq: int
    health: health.Health
    uptime: dict[str, float | None]
    """Availability of each component over 24 h, in percent."""
    metrics: current.CurrentMetrics
    alerts: list[alerts.Alert]


@get(
    f"{BASE}/dashboard",
    opt={CONCURRENCY: Concurrency.PRESENT},
    responses=NOT_MODIFIED,
    tags=["health"],
    summary="Everything the first page needs",
)
async def dashboard(
    request: KnownRequest, context: NamedDependency[AppContext], at: At = None
) -> Response[Dashboard]:
    if at is not None:
        raise InvalidError("at is not available here yet; leave it away for the present")
    state = await context.present()
    return await answer(request, await context.live.documents.dashboard(state))
