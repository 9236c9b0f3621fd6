"""How alerts went: how many, how soon someone came, how long they lasted, how much they flapped."""

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
    """Alerts that have something in common: a rule, or the Monday of the week they opened in.

    Times are seconds from the opening to the first acknowledgement and the last resolution, over
    those alerts that have one; null where none has. `firing_s` lies within the range of time.
    `flapping_index` is the share that flapped, or that came within an hour after one of the same
    rule, component and labels was resolved: 0 is calm, 1 is noise.
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
    """Return the noisiest groups of the alerts opened in a range of time, at most GROUPS_MAX.

    What a person opened was a test, and does not count.
    """
    return await queries.rows(
        connection, Summary, SUMMARIZE, by=by, start=start, end=end, now=now, tz=tz,
        limit=GROUPS_MAX,
    )  # fmt: skip
