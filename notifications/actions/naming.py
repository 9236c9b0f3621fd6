"""The channels that actions name: they exist, and are of the type webhook."""

from collections.abc import Sequence

from config import store as config
from config.actions import WEBHOOK, Action
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from notifications import channel_store
from notifications.channel_store import Stored


async def webhook_channel(connection: Connection, action: Action) -> Stored:
    """Return the channel by which an action goes, enabled or not. Raises InvalidError."""
    name = action.channel or ""
    stored = await channel_store.read_named(connection, name)
    if stored is None:
        raise InvalidError(
            f"action {action.name!r}: there is no channel {name!r}; make one of type webhook"
        )
    if stored.type != WEBHOOK:
        raise InvalidError(
            f"action {action.name!r}: the channel {name!r} is of type {stored.type}; name one of "
            "type webhook"
        )
    return stored


async def check_channels(connection: Connection, actions: Sequence[Action]) -> None:
    """Raise InvalidError for an action that names no channel of type webhook."""
    for action in actions:
        if action.kind == WEBHOOK:
            await webhook_channel(connection, action)


async def check_unnamed(connection: Connection, channel: str) -> None:
    """Raise ConflictError while an action names a channel.

    No setting changes before the transaction ends, so none can name it meanwhile.
    """
    await config.lock(connection)
    for action in (await config.read(connection)).actions:
        if action.channel == channel:
            raise ConflictError(
                f"{channel} is in the action {action.name} of the setting actions; take it out of "
                "it first"
            )
