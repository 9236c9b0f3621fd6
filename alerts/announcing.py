"""Announces transitions of alerts: on the bus, and to whoever else follows them.

Each row of the audit says whether its transition was announced. So a crash between the evaluation
of a large minute and its announcement loses nothing: the next minute announces what is left.
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
"""Is given the ids of transitions, rows of `system_alert_events`, in the order in which they
happened. It writes in the transaction that announces them, at the time that it is given."""


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
    """Announce what was not announced yet; return of how many alerts.

    Of some alerts, or of any, so many at most. Whoever acts on one alert names it: others may be
    in the middle of an evaluation, which announces none before it is decided which are suppressed.
    In a transaction that holds the evaluation clock.
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
