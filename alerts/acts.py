"""Changes to an alert from outside the evaluation. Each is logged and announced."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from alerts import store
from alerts.announcing import OnTransitions, announce
from db.queries import Connection
from model.errors import ConflictError, NotFoundError


class Act(Struct, frozen=True):
    """An action on an alert; `change` returns False if the alert's state does not allow it."""

    name: str
    transition: str
    """The transition that is logged, and the state that the alert enters."""
    change: Callable[[Connection, int, datetime, str], Awaitable[bool]]
    opens: bool = False
    """Whether the action opens the alert, so that suppression has to be applied to it."""


RESOLVE = Act("resolve", "resolved", store.resolve)
ACKNOWLEDGE = Act("acknowledge", "acknowledged", store.acknowledge)
REOPEN = Act("reopen", "reopened", store.reopen, opens=True)
EXPIRE = Act("expire", "acknowledgement_expired", store.expire_acknowledgement)
"""The acknowledgement of an alert ends by the policy that the alert goes through."""
ACTS: Mapping[str, Act] = {act.name: act for act in (RESOLVE, ACKNOWLEDGE, REOPEN)}


async def change(
    connection: Connection, act: Act, alert_id: int, now: datetime, actor: str, comment: str = ""
) -> None:
    """Apply an action to an alert and log the transition.

    Runs in the caller's transaction; the caller announces the transition before the commit.
    Raises NotFoundError if the alert does not exist, ConflictError if its state forbids the action.
    """
    is_number = alert_id <= store.ID_MAX
    if not is_number or not await act.change(connection, alert_id, now, actor):
        found = await store.read(connection, [alert_id]) if is_number else []
        if not found:
            raise NotFoundError(f"there is no alert {alert_id}")
        state = found[0].state
        raise ConflictError(_refusal(alert_id, state, act))
    await store.log_transition(connection, alert_id, now, act.transition, actor, comment)


def _refusal(alert_id: int, state: str, act: Act) -> str:
    if act is REOPEN and state == RESOLVE.transition:
        return (
            f"alert {alert_id} cannot be reopened: its rule is disabled or deleted, or there is a "
            "newer alert of the same series"
        )
    if state == act.transition or act is REOPEN:
        return f"alert {alert_id} is already {'open' if act is REOPEN else state}"
    if state == RESOLVE.transition:
        return f"alert {alert_id} is resolved, so it cannot be {act.transition}; reopen it first"
    return f"alert {alert_id} is {state}, so it cannot be {act.transition}"


async def take(
    connection: Connection,
    act: Act,
    alert_id: int,
    now: datetime,
    actor: str,
    on_transitions: Sequence[OnTransitions],
    comment: str = "",
) -> None:
    """Apply an action that does not open the alert, and announce it. Raises as `change` does."""
    await change(connection, act, alert_id, now, actor, comment)
    await announce(connection, now, on_transitions, alert_ids=[alert_id])
