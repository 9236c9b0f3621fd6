"""Writes deliveries into the outbox, in the transaction of the alert that they announce."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.series import Category
from model.severity import Level

_QUERIES = queries.load(__file__)
ANNOUNCE = _QUERIES["announce"]
DELIVER = _QUERIES["deliver"]


class Announced(Struct, frozen=True, kw_only=True):
    """A transition of an alert that people are notified of, and its notification."""

    notification_id: int
    transition_id: int
    alert_id: int
    type: str
    level: Level
    """The level of the alert at that time."""
    rule: str
    category: Category
    component: str
    labels: dict[str, str]
    opened_at: datetime
    is_suppressed: bool
    """Whether the alert is suppressed after all transitions of this transaction."""


async def announce(connection: Connection, transition_ids: Sequence[int]) -> list[Announced]:
    """Write the notifications of alert transitions and return them in order.

    A transition is announced once. Announcing it again raises an error.
    """
    return await queries.rows(connection, Announced, ANNOUNCE, ids=list(transition_ids))


async def deliver(
    connection: Connection, transition_ids: Sequence[int], now: datetime, *, is_routed: bool
) -> int:
    """Write the deliveries that announced transitions cause at once, and return their number.

    If alerts are routed, only addresses that already have a delivery about the alert get one here;
    routes and policies write the others.
    """
    written: int = await queries.value(
        connection, DELIVER, ids=list(transition_ids), now=now, is_routed=is_routed
    )
    return written
