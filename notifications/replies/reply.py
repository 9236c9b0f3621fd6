"""A reply to a message: the requested action, the alert and the sender."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from notifications.message import Message


class Action(StrEnum):
    """The action that a reply asks for."""

    ACKNOWLEDGE = "acknowledge"
    ACKNOWLEDGE_ALL = "acknowledge_all"
    """Acknowledge every firing alert of the channel."""
    RESOLVE = "resolve"
    STOP = "stop"
    """Stop sending messages to the sender."""
    START = "start"
    """Start sending messages to the sender again."""


class Reply(Struct, frozen=True, kw_only=True):
    """One reply. It names an alert by its number or by the token of a link, or names none."""

    action: Action
    sender: str
    """The sender as the provider identifies it: a name, an id or a phone number."""
    alert_id: int | None = None
    token: str = ""
    """The token of `/l/{token}`, valid for one use and for this action only."""


OnReply = Callable[[Reply], Awaitable[str]]
"""Does what a reply asks for and returns one or two sentences to send back.

If it raises a DomainError, the text of the error is sent back. It must not raise anything else. It
may get the same reply twice.
"""


def button_data(action: Action, link: str, message: Message) -> str:
    """Return the data of a button: the token of its link, or the number of the only alert.

    Telegram allows 64 bytes. "": the message cannot have the button.
    """
    initial = action.value[0]
    token = link.rpartition("/l/")[2] if "/l/" in link else ""
    if token and len(f"{initial}:{token}".encode()) <= BUTTON_BYTES_MAX:
        return f"{initial}:{token}"
    return f"{initial}#{message.alerts[0]['id']}" if len(message.alerts) == 1 else ""


BUTTON_BYTES_MAX = 64
INITIALS = {action.value[0]: action for action in (Action.ACKNOWLEDGE, Action.RESOLVE)}


def pressed(data: str, sender: str) -> Reply | None:
    """Return the reply of a pressed button. None: the button is not from Vigia."""
    action, kind, rest = INITIALS.get(data[:1]), data[1:2], data[2:]
    if action is None or not rest:
        return None
    if kind == ":":
        return Reply(action=action, sender=sender, token=rest)
    is_id = kind == "#" and rest.isascii() and rest.isdigit() and len(rest) <= ID_DIGITS_MAX
    return Reply(action=action, sender=sender, alert_id=int(rest)) if is_id else None


ID_DIGITS_MAX = 18
"""A number with more digits does not fit into a bigint."""
