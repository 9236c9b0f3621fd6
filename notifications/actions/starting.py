"""Starts actions of alerts, in the transaction of the transition."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from config import store as config
from config.actions import Action
from db.queries import Connection
from notifications.actions import run_store
from notifications.actions.run_store import OpenedAlert
from notifications.routing.matching import is_at_least

TOGETHER_MAX = 100
"""The most runs in one transaction of an action without a minimum interval."""


async def start(connection: Connection, now: datetime, transition_ids: Sequence[int]) -> None:
    """Write the runs of the actions that transitions of alerts start.

    It runs in the transaction of the transitions, so that either both are stored or neither is. The
    actions run later, outside of it.
    """
    alerts = await run_store.opened(connection, transition_ids)
    if not alerts:
        return
    for action in (await config.read(connection)).actions:
        started_by = [alert for alert in alerts if action.enabled and is_started(action, alert)]
        if started_by:
            at_most = 1 if action.spacing_s else TOGETHER_MAX
            await run_store.request(
                connection,
                action.name,
                action.kind,
                started_by[:at_most],
                now,
                run_at=now + timedelta(seconds=action.wait_s),
                since=now - timedelta(seconds=action.spacing_s),
            )


def is_started(action: Action, alert: OpenedAlert) -> bool:
    """Return whether an alert meets the conditions of an action."""
    return (
        is_at_least(alert.level, action.min_level)
        and action.category in {None, alert.category}
        and action.component in {None, alert.component}
        and action.rule in {None, alert.rule}
        and action.labels.items() <= alert.labels.items()
    )
