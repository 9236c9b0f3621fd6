"""What people do to an alert: resolve, acknowledge, reopen; each is logged, and announced."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from alerts import store
from alerts.announcing import OnTransitions, announce
from db.queries import Connection
from model.errors import ConflictError, NotFoundError


class Act(Struct, frozen=True):
    """An act; `change` returns False where the state of the alert does not allow it."""

    name: str
    transition: str
    """What is logged, and what the alert becomes."""
    change: Callable[[Connection, int, datetime, str], Awaitable[bool]]
    opens: bool = False
    """Whether the alert is open afterwards, and may have to be suppressed."""


RESOLVE = Act("resolve", "resolved", store.resolve)
ACKNOWLEDGE = Act("acknowledge", "acknowledged", store.acknowledge)
REOPEN = Act("reopen", "reopened", store.reopen, opens=True)
ACTS: Mapping[str, Act] = {act.name: act for act in (RESOLVE, ACKNOWLEDGE, REOPEN)}


async def change(
    connection: Connection, act: Act, alert_id: int, now: datetime, actor: str, comment: str = ""
) -> None:
    """Change an alert and log it. Raises NotFoundError, or ConflictError in a wrong state.

    In a transaction, whose end announces it.
    """
    is_number = alert_id <= store.ID_MAX
    if not is_number or not await act.change(connection, alert_id, now, actor):
        found = await store.read(connection, [alert_id]) if is_number else []
        if not found:
            raise NotFoundError(f"there is no alert {alert_id}")
        state = found[0].state
        raise ConflictError(f"alert {alert_id} is {state}; it cannot become {act.transition}")
    await store.log_transition(connection, alert_id, now, act.transition, actor, comment)


async def take(
    connection: Connection,
    act: Act,
    alert_id: int,
    now: datetime,
    actor: str,
    on_transitions: Sequence[OnTransitions],
    comment: str = "",
) -> None:
    """Change an alert and announce it, of an act that opens nothing; raises as `change` does."""
    await change(connection, act, alert_id, now, actor, comment)
    await announce(connection, now, on_transitions, alert_ids=[alert_id])
