"""Checks the channels of actions: they must exist and be of the type webhook."""

from collections.abc import Sequence

from config import store as config
from config.actions import WEBHOOK, Action
from db.queries import Connection
from model.errors import ConflictError, InvalidError
from notifications import channel_store
from notifications.channel_store import Stored


async def webhook_channel(connection: Connection, action: Action) -> Stored:
    """Return the channel of an action, even if it is disabled. Raises InvalidError."""
    name = action.channel or ""
    stored = await channel_store.read_named(connection, name)
    if stored is None:
        raise InvalidError(
            f"action {action.name!r}: there is no channel {name!r}; create one of type webhook"
        )
    if stored.type != WEBHOOK:
        raise InvalidError(
            f"action {action.name!r}: the channel {name!r} is of type {stored.type}; name one of "
            "type webhook"
        )
    return stored


async def check_channels(connection: Connection, actions: Sequence[Action]) -> None:
    """Raise InvalidError if the channel of an action does not exist or is not of type webhook."""
    for action in actions:
        if action.kind == WEBHOOK:
            await webhook_channel(connection, action)


async def check_unnamed(connection: Connection, channel: str) -> None:
    """Raise ConflictError if an action uses a channel.

    The settings stay locked until the transaction ends, so no action can add the channel meanwhile.
    """
    await config.lock(connection)
    for action in (await config.read(connection)).actions:
        if action.channel == channel:
            raise ConflictError(
                f"{channel} is in the action {action.name} of the setting actions; remove it there "
                "first"
            )
