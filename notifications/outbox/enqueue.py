"""Writes what is to be sent into the outbox, in the transaction of what it is about."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.series import Category
from model.severity import Level

_QUERIES = queries.load(__file__)
ANNOUNCE = _QUERIES["announce"]
TELL = _QUERIES["tell"]


class Announced(Struct, frozen=True, kw_only=True):
    """A transition of an alert that people hear of, and the notification that it became."""

    notification_id: int
    transition_id: int
    alert_id: int
    type: str
    level: Level
    """Of the alert at that time."""
    rule: str
    category: Category
    component: str
    labels: dict[str, str]
    opened_at: datetime
    is_suppressed: bool
    """Whether the alert is now, after all of the transitions."""


async def announce(connection: Connection, transition_ids: Sequence[int]) -> list[Announced]:
    """Write the notifications of transitions of alerts; return them in order.

    A transition that was announced before is an error: each is announced once.
    """
    return await queries.rows(connection, Announced, ANNOUNCE, ids=list(transition_ids))


async def tell(
    connection: Connection, transition_ids: Sequence[int], now: datetime, *, is_routed: bool
) -> int:
    """Write the deliveries that announced transitions lead to at once; return how many.

    Where alerts are routed, these are only of those who were told before.
    """
    written: int = await queries.value(
        connection, TELL, ids=list(transition_ids), now=now, is_routed=is_routed
    )
    return written
