"""Routes for operators and developers: the state of the service, and test alerts."""

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from alerts import store as alerts
from alerts.clock import lock
from alerts.suppression import suppress
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.paths import BASE
from model.principal import Role
from model.series import Category
from model.severity import Level
from model.text import Lines, NonEmptyText
from model.times import utc_now
from notifications.outbox import pause
from retention import tiers
from runtime.version import __version__


class TestAlert(Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of the test alert."""

    level: Level = Level.WARNING
    category: Category = Category.SYSTEM
    component: NonEmptyText = "server"
    title: NonEmptyText = "Test alert"
    message: Lines = "Someone tests whether alerts arrive."


class Status(Struct, frozen=True):
    """The state of the service itself."""

    version: str
    database_version: str
    services: dict[str, object]
    maintenance: tiers.Run | None
    """The newest run of the storage maintenance."""
    notifications: pause.Pause
    """Whether messages are sent, and how many wait."""


@post(
    f"{BASE}/dev/test-alert",
    opt={ROLE: Role.ADMIN},
    tags=["dev"],
    summary="Open a test alert, which only a person can resolve",
)
async def raise_alert(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    data: JSONBody[TestAlert | None] = None,
) -> alerts.Alert:
    wanted = data or TestAlert()
    now = utc_now()
    async with context.connect() as connection, connection.transaction():
        await lock(connection)
        alert_id = await alerts.open_test(
            connection,
            now,
            wanted.level,
            wanted.category,
            wanted.component,
            wanted.title,
            wanted.message,
        )
        await alerts.log_transition(connection, alert_id, now, "opened", request.user.name)
        dependencies = context.config().all_dependencies()
        await suppress.apply_and_announce(
            connection, now, dependencies, request.user.name, context.on_transitions, [alert_id]
        )
        alert = (await alerts.read(connection, [alert_id]))[0]
    context.announce()
    return alert


@get(f"{BASE}/dev/status", opt={ROLE: Role.ADMIN}, tags=["dev"], summary="State of the service")
async def status(context: NamedDependency[AppContext]) -> Status:
    async with context.connect() as connection:
        return Status(
            version=__version__,
            database_version=connection.info.parameter_status("server_version") or "",
            services=_services(context),
            maintenance=await tiers.last_run(connection),
            notifications=await pause.read(connection),
        )


def _services(context: AppContext) -> dict[str, object]:
    return {
        **context.status(),
        "ingest": context.receivers.status(),
        "connections": context.connections.status(),
        "limits": dict(context.limiters.usage()),
    }
