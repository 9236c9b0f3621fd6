"""The route of alert statistics."""

from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from alerts import analytics
from alerts.analytics import By, Summary
from api.http.context import AppContext
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from db.pool import LONG_DEADLINE_S
from history.query import zone_named
from model.times import parse_time, utc_now

Start = Annotated[
    str, QueryParameter(description="Opened at this time or later: absolute, or such as -30d.")
]
End = Annotated[str, QueryParameter(description="Opened before this time, or `now`.")]
Group = Annotated[By, QueryParameter(description="The field by which alerts are grouped.")]
Zone = Annotated[str, QueryParameter(description="Time zone of weeks, which start on Monday.")]


class Summaries(Struct, frozen=True):
    """Statistics of groups of alerts, largest group first."""

    start: datetime
    end: datetime
    items: list[Summary]


@get(
    f"{BASE}/alerts/analytics",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["alerts"],
    summary="Alert statistics: counts, times to acknowledge and resolve, flapping",
)
async def summarize(
    context: NamedDependency[AppContext],
    by: Group = "rule",
    start: Start = "-30d",
    end: End = "now",
    tz: Zone = "UTC",
) -> Summaries:
    now = utc_now()
    first, last, zone = parse_time(start, now), parse_time(end, now), zone_named(tz)
    async with context.connect(LONG_DEADLINE_S) as connection:
        found = await analytics.summarize(connection, by, first, last, now, zone.key)
    return Summaries(first, last, found)
