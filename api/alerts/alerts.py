"""Routes that list open and past alerts."""

from collections.abc import Sequence
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, UnsetType, structs

from alerts import store as alerts
from api.http.context import AppContext
from api.http.limits import CONCURRENCY, Concurrency
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.paths import BASE
from db.queries import Connection
from model.errors import NotFoundError
from model.series import Category
from model.severity import Level
from model.times import parse_time, utc_now

OnlyLevel = Annotated[Level | None, QueryParameter(description="Return only alerts of this level.")]
OnlyCategory = Annotated[Category | None, QueryParameter(description="Return only this category.")]
OnlyComponent = Annotated[str | None, QueryParameter(description="Return only this component.")]
SuppressedNow = Annotated[
    bool | None,
    QueryParameter(description="Return only alerts that are, or are not, suppressed now."),
]
SuppressedEver = Annotated[
    bool | None,
    QueryParameter(description="Return only alerts that were ever, or never, suppressed."),
]
OnlyRule = Annotated[str | None, QueryParameter(description="Return only alerts of this rule.")]
OnlyState = Annotated[
    alerts.State | None,
    QueryParameter(name="state", description="Return only alerts that are in this state now."),
]
WithEvents = Annotated[
    bool,
    QueryParameter(name="events", description="Include the transitions of each alert."),
]
Start = Annotated[
    str, QueryParameter(description="Open at this time or later: absolute, or such as -7d.")
]
End = Annotated[str, QueryParameter(description="Opened before this time, or `now`.")]


class AlertWithEvents(alerts.Alert, frozen=True):
    """An alert with its transitions, oldest first; lists include them only on request."""

    events: list[alerts.Logged] | UnsetType = UNSET


@get(f"{BASE}/alerts/active", tags=["alerts"], summary="Open alerts, newest first")
async def active(
    context: NamedDependency[AppContext],
    level: OnlyLevel = None,
    category: OnlyCategory = None,
    component: OnlyComponent = None,
    rule: OnlyRule = None,
    in_state: OnlyState = None,
    suppressed: SuppressedNow = None,
    transitions: WithEvents = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[AlertWithEvents]:
    wanted = alerts.Filter(
        level=level,
        category=category,
        component=component,
        rule=rule,
        state=in_state,
        suppressed=suppressed,
        before=position(cursor, alerts.ID_MAX),
    )
    async with context.connect() as connection:
        found = await alerts.active(connection, wanted, limit + 1)
        return await _page(connection, found, limit, transitions=transitions)


@get(
    f"{BASE}/alerts/history",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["alerts"],
    summary="Alerts that were open in a time range",
)
async def past(
    context: NamedDependency[AppContext],
    start: Start = "-7d",
    end: End = "now",
    level: OnlyLevel = None,
    category: OnlyCategory = None,
    component: OnlyComponent = None,
    rule: OnlyRule = None,
    in_state: OnlyState = None,
    suppressed: SuppressedEver = None,
    transitions: WithEvents = False,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[AlertWithEvents]:
    now = utc_now()
    wanted = alerts.Filter(
        level=level,
        category=category,
        component=component,
        rule=rule,
        state=in_state,
        suppressed=suppressed,
        before=position(cursor, alerts.ID_MAX),
    )
    span = parse_time(start, now), parse_time(end, now)
    async with context.connect() as connection:
        found = await alerts.past(connection, wanted, *span, limit + 1)
        return await _page(connection, found, limit, transitions=transitions)


@get(f"{BASE}/alerts/{{alert_id:int}}", tags=["alerts"], summary="One alert with its transitions")
async def one(context: NamedDependency[AppContext], alert_id: FromPath[int]) -> AlertWithEvents:
    async with context.connect() as connection:
        return await with_events(connection, alert_id)


async def _page(
    connection: Connection, found: Sequence[alerts.Alert], limit: int, *, transitions: bool
) -> Page[AlertWithEvents]:
    numbered = page(found, limit, lambda alert: alert.id)
    ids = [alert.id for alert in numbered.items] if transitions else []
    by_alert = await alerts.transitions_of(connection, ids)
    items = [
        AlertWithEvents(**structs.asdict(alert), events=by_alert.get(alert.id, UNSET))
        for alert in numbered.items
    ]
    return Page(items, numbered.cursor)


async def with_events(connection: Connection, alert_id: int) -> AlertWithEvents:
    """Return an alert with its transitions. Raises NotFoundError."""
    alert = await read(connection, alert_id)
    transitions = await alerts.transitions(connection, alert_id)
    return AlertWithEvents(**structs.asdict(alert), events=transitions)


async def read(connection: Connection, alert_id: int) -> alerts.Alert:
    """Return an alert. Raises NotFoundError."""
    found = await alerts.read(connection, [alert_id]) if alert_id <= alerts.ID_MAX else []
    if not found:
        raise NotFoundError(f"there is no alert {alert_id}")
    return found[0]
