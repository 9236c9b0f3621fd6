"""The action `webhook`: posts the alert to an address, through the address guard."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from alerts.store import Alert
from config.actions import Action
from model.errors import InvalidError
from notifications.actions.run_store import DueRun
from notifications.posting import post_json
from runtime.network.egress import Egress


class ActionBody(Struct, frozen=True, kw_only=True):
    """What is posted; `key` is the same on each try."""

    key: str
    action: str
    alert: Alert


class WebhookAction(Struct, frozen=True, kw_only=True):
    """Posts alerts by an egress client."""

    egress: Egress
    now: Callable[[], datetime]

    async def do(self, action: Action, alert: Alert, run: DueRun) -> str:
        """Post an alert. Raises TemporaryError, PermanentError."""
        if action.url is None:
            raise InvalidError(f"action {action.name!r} has no url")
        key = f"action-{action.name}-{run.transition_id}"
        body = ActionBody(key=key, action=action.name, alert=alert)
        receipt = await post_json(
            self.egress, action.url, body, now=self.now(), headers={"Idempotency-Key": key}
        )
        return f"answered {receipt.status}"
