"""Announces transitions of alerts on the bus, and to the callbacks that follow them.

Each row of the audit records whether its transition was announced. A crash between the evaluation
of a large minute and its announcement therefore loses nothing: the next minute announces the rest.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from msgspec import Struct

from alerts import store
from db import queries
from db.queries import Connection
from events import bus

_QUERIES = queries.load(__file__)
TAKE_UNANNOUNCED = _QUERIES["take_unannounced"]

OnTransitions = Callable[[Connection, datetime, Sequence[int]], Awaitable[object]]
"""Receives the connection, the time, and the ids of transitions (rows of `system_alert_events`),
oldest first. It writes in the transaction that announces them."""


class _Taken(Struct, frozen=True):
    transition_ids: list[int]
    alert_ids: list[int]


async def announce(
    connection: Connection,
    now: datetime,
    on_transitions: Sequence[OnTransitions],
    *,
    alert_ids: Sequence[int] | None = None,
    at_most: int | None = None,
) -> int:
    """Announce unannounced transitions; return the number of alerts that have some.

    Covers the given alerts, or all if `alert_ids` is None, and at most `at_most` of them. An action
    on one alert must pass its id: an evaluation in batches may have stored transitions of others
    whose suppression is not decided yet. Runs in a transaction that holds the evaluation clock.
    """
    taken = await queries.rows(
        connection,
        _Taken,
        TAKE_UNANNOUNCED,
        alert_ids=None if alert_ids is None else list(alert_ids),
        at_most=at_most,
    )
    if not taken[0].alert_ids:
        return 0
    for follow in on_transitions:
        await follow(connection, now, taken[0].transition_ids)
    changed = await store.read(connection, taken[0].alert_ids)
    await bus.append(connection, now, store.alert_events(changed))
    return len(changed)
