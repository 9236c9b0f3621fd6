"""For those who run or build on the service: its own state, and alerts to try things with."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.door import ROLE
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.quiet import settle
from db import alerts, tiers
from db.evaluation import lock
from vigia import __version__
from vigia.model import Category, Level, Lines, Role, utc_now
from vigia.text import TEXT

Short = Annotated[str, Meta(pattern=TEXT, min_length=1, max_length=200)]


class Trial(Struct, frozen=True, forbid_unknown_fields=True):
    """What the test alert is to look like."""

    level: Level = Level.WARNING
    category: Category = Category.SYSTEM
    component: Short = "server"
    title: Short = "Test alert"
    message: Lines = "Someone tests whether alerts arrive."


class Status(Struct, frozen=True):
    """How the service itself does."""

    version: str
    database_version: str
    services: dict[str, object]
    maintenance: tiers.Run | None
    """The newest run of the maintenance."""


@post(
    f"{BASE}/dev/test-alert",
    opt={ROLE: Role.ADMIN},
    tags=["dev"],
    summary="Raise an alert that only a person resolves",
)
async def raise_alert(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    data: JSONBody[Trial | None] = None,
) -> alerts.Alert:
    wanted = data or Trial()
    now = utc_now()
    async with parts.connect() as connection, connection.transaction():
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
        await alerts.log_step(connection, alert_id, now, "opened", request.user.name)
        await settle(parts, connection, now, request.user.name, [alert_id])
        alert = (await alerts.read(connection, [alert_id]))[0]
    parts.announce()
    return alert


@get(f"{BASE}/dev/status", opt={ROLE: Role.ADMIN}, tags=["dev"], summary="State of the service")
async def status(parts: NamedDependency[Parts]) -> Status:
    async with parts.connect() as connection:
        return Status(
            version=__version__,
            database_version=connection.info.parameter_status("server_version") or "",
            services=_services(parts),
            maintenance=await tiers.last_run(connection),
        )


def _services(parts: Parts) -> dict[str, object]:
    return {
        **parts.status(),
        "ingest": parts.receivers.status(),
        "connections": parts.connections.status(),
        "limits": dict(parts.limiters.usage()),
    }
