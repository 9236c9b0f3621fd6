"""How alerts went, over a range of time."""

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
from api.probes import BASE
from db.pool import LONG_DEADLINE_S
from history.query import zone_named
from model.times import parse_time, utc_now

Start = Annotated[str, QueryParameter(description="Opened at or after: a time, or such as -30d.")]
End = Annotated[str, QueryParameter(description="Opened before: a time, or `now`.")]
Group = Annotated[By, QueryParameter(description="What alerts are put together by.")]
Zone = Annotated[str, QueryParameter(description="Time zone in which weeks begin, on Mondays.")]


class Summaries(Struct, frozen=True):
    """Groups of alerts, the noisiest first."""

    start: datetime
    end: datetime
    items: list[Summary]


@get(
    f"{BASE}/alerts/analytics",
    opt={CONCURRENCY: Concurrency.ANALYSIS},
    tags=["alerts"],
    summary="How soon alerts were taken on and over, and which are noise",
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
