"""The map of the API, and the liveness and readiness probes of orchestrators."""

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from api.http.context import AppContext
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from model.errors import UnavailableError
from runtime.version import __version__


class Map(Struct, frozen=True):
    """Addresses of the API."""

    name: str
    version: str
    documentation: str
    openapi: str
    live: str
    links: dict[str, str]


class State(Struct, frozen=True):
    """The state of this process: alive or ready."""

    status: str


LINKS = {
    "catalogue": f"{BASE}/metrics",
    "current": f"{BASE}/metrics/current",
    "history": f"{BASE}/metrics/history",
    "health": f"{BASE}/health",
    "alerts_active": f"{BASE}/alerts/active",
    "alerts_history": f"{BASE}/alerts/history",
    "config": f"{BASE}/config",
    "dashboard": f"{BASE}/dashboard",
    "status": f"{BASE}/dev/status",
}


@get(BASE, opt={CONCURRENCY: Concurrency.NONE}, tags=["service"], summary="Map of the API")
async def base_map() -> Map:
    return Map("vigia", __version__, "/api/v1/docs", "/api/v1/openapi.json", f"{BASE}/ws", LINKS)


@get("/livez", tags=["service"], summary="Liveness: the process answers")
async def livez() -> State:
    return State("alive")


@get(
    "/readyz",
    tags=["service"],
    summary="Readiness: samples are stored in the database at once",
)
async def readyz(context: NamedDependency[AppContext]) -> State:
    if not context.ready():
        raise UnavailableError(context.obstacle() or "the service is still starting")
    if cause := await context.unready():
        raise UnavailableError(cause)
    return State("ready")
