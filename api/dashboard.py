"""Everything the first page needs, in one answer."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from api.health import At
from api.parts import Parts
from api.probes import BASE
from db import alerts, current, events, health
from vigia.model import InvalidError, utc_now

ALERTS_MAX = 100


class Dashboard(Struct, frozen=True):
    """The present; `seq` is where a live client resumes from to miss nothing after it."""

    time: datetime
    seq: int
    health: health.Health
    uptime: dict[str, float | None]
    """Availability of each component over 24 h, in percent."""
    metrics: current.CurrentMetrics
    alerts: list[alerts.Alert]


@get(f"{BASE}/dashboard", tags=["health"], summary="Everything the first page needs")
async def dashboard(parts: NamedDependency[Parts], at: At = None) -> Dashboard:
    if at is not None:
        raise InvalidError("at is not available here yet; leave it away for the present")
    async with parts.connect() as connection:
        # First the number: what happens while the rest is read is then sent again, not missed.
        seq = await events.newest(connection)
        state = health.document(await health.read(connection))
        return Dashboard(
            time=utc_now(),
            seq=seq,
            health=state,
            uptime={name: one.uptime_24h for name, one in state.components.items()},
            metrics=await current.read(connection),
            alerts=await alerts.active(connection, alerts.Filter(), ALERTS_MAX),
        )
