"""The route that previews routing. It writes nothing and notifies nobody."""

from datetime import datetime
from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from alerts import store as alerts
from api.http.access import ROLE
from api.http.context import AppContext
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from db.queries import Connection
from model.errors import NotFoundError
from model.principal import Role
from model.series import Category
from model.severity import Level
from model.text import Text, TextLabels
from model.times import Moment, parse_time, utc_now
from notifications.preview.model import Preview
from notifications.preview.previewing import preview
from notifications.routing.matching import RoutedAlert

PATH = f"{BASE}/routes/preview"


class PreviewedAlert(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An existing alert by its number, or the description of one, and when it is routed."""

    alert: Annotated[int, Meta(ge=1, le=alerts.ID_MAX)] | None = None
    rule: Text | None = None
    level: Level | None = None
    category: Category | None = None
    component: Text | None = None
    labels: TextLabels | None = None
    at: Moment = "now"

    def __post_init__(self) -> None:
        """Refuse a description in addition to a number."""
        described = (self.rule, self.level, self.category, self.component, self.labels)
        if self.alert is not None and any(one is not None for one in described):
            raise ValueError("alert must be given alone, without the description of another alert")


@post(
    PATH,
    opt={ROLE: Role.OPERATOR, CONCURRENCY: Concurrency.PREVIEW},
    status_code=200,
    responses={404: documented("There is no such alert.")},
    tags=["channels"],
    summary="Preview an alert: the routes that it takes, and the messages that follow",
)
async def preview_route(
    context: NamedDependency[AppContext], data: JSONBody[PreviewedAlert]
) -> Preview:
    now = utc_now()
    at = parse_time(data.at, now)
    async with context.connect() as connection:
        if data.alert is None:
            return await preview(connection, _described(data), at, at)
        return await _preview_of(connection, data.alert, at)


async def _preview_of(connection: Connection, alert_id: int, at: datetime) -> Preview:
    found = await alerts.read(connection, [alert_id])
    if not found:
        raise NotFoundError(f"there is no alert {alert_id}")
    [one] = found
    alert = RoutedAlert(
        rule=one.rule,
        level=one.level,
        category=one.category,
        component=one.component,
        labels=one.labels,
    )
    opened_at = min(one.opened_at, at)
    return await preview(connection, alert, opened_at, at, one.suppressed_by)


def _described(data: PreviewedAlert) -> RoutedAlert:
    return RoutedAlert(
        rule=data.rule or "",
        level=data.level or Level.CRITICAL,
        category=data.category or Category.SYSTEM,
        component=data.component or "",
        labels=data.labels or {},
    )


ROUTES = (preview_route,)
