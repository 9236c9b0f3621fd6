"""Statistics of past alerts: count, time to acknowledge, time to resolve, and flapping."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from db import queries
from db.queries import Connection

_QUERIES = queries.load(__file__)
SUMMARIZE = _QUERIES["summarize"]

GROUPS_MAX = 1000

By = Literal["rule", "level", "category", "component", "week"]


class Summary(Struct, frozen=True):
    """Statistics of one group of alerts: of a rule, say, or of the week in which they opened.

    `group` names a week by the date of its Monday. The acknowledge and resolve times are seconds
    from the opening to the first acknowledgement and to the last resolution. They cover only alerts
    that have one, and are null if no alert has. `firing_s` counts only time within the range.
    `flapping_index` is the share of alerts, 0 to 1, that flapped or that opened within an hour
    after an alert of the same rule, component and labels was resolved.
    """

    group: str
    alerts: int
    transitions: int
    open: int
    firing_s: float
    acknowledged: int
    acknowledge_s_mean: float | None
    acknowledge_s_p50: float | None
    acknowledge_s_p90: float | None
    resolved: int
    resolved_auto: int
    resolve_s_mean: float | None
    resolve_s_p50: float | None
    resolve_s_p90: float | None
    flapping_index: float


async def summarize(
    connection: Connection, by: By, start: datetime, end: datetime, now: datetime, tz: str
) -> list[Summary]:
    """Return the groups with the most alerts opened in a time range, at most GROUPS_MAX.

    Test alerts, which a person opens, do not count.
    """
    return await queries.rows(
        connection, Summary, SUMMARIZE, by=by, start=start, end=end, now=now, tz=tz,
        limit=GROUPS_MAX,
    )  # fmt: skip
