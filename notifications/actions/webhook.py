"""The action `webhook`: posts the alert through a webhook channel."""

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from alerts.store import Alert
from config.actions import Action
from db.queries import Pool
from notifications import channel_store
from notifications.actions.naming import webhook_channel
from notifications.actions.run_store import DueRun
from notifications.channels.webhook import post_signed
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress


class ActionBody(Struct, frozen=True, kw_only=True):
    """The body of the request. `key` is the same on each try."""

    key: str
    action: str
    alert: Alert


class WebhookAction(Struct, frozen=True, kw_only=True):
    """Posts alerts through the egress client."""

    pool: Pool
    keys: SecretKeys
    egress: Egress
    now: Callable[[], datetime]

    async def do(self, action: Action, alert: Alert, run: DueRun) -> str:
        """Post an alert.

        Raises InvalidError, DecryptionError, TemporaryError or PermanentError.
        """
        async with self.pool.connection() as connection:
            stored = await webhook_channel(connection, action)
        channel = channel_store.opened_by(self.keys, stored)
        key = f"action-{action.name}-{run.transition_id}"
        body = msgspec.json.encode(ActionBody(key=key, action=action.name, alert=alert))
        receipt = await post_signed(self.egress, channel, key, body, self.now())
        return f"answered {receipt.status}"
