"""A reply to a message: what someone asks for, about which alert, and who it is."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from notifications.message import Message


class Action(StrEnum):
    """What a reply asks for."""

    ACKNOWLEDGE = "acknowledge"
    ACKNOWLEDGE_ALL = "acknowledge_all"
    """Every alert that the sender was told of."""
    RESOLVE = "resolve"
    STOP = "stop"
    """Send me nothing more."""
    START = "start"
    """Send me messages again."""


class Reply(Struct, frozen=True, kw_only=True):
    """One reply; it names an alert by its id, or by the token of a link, or not at all."""

    action: Action
    sender: str
    """Who it is, as the provider says: a name, an id, a phone number."""
    alert_id: int | None = None
    token: str = ""
    """Of `/l/{token}`: good for one use, and for this action alone."""


OnReply = Callable[[Reply], Awaitable[str]]
"""Does what a reply asks for, and returns what to answer: one or two sentences.

A DomainError is answered with its own words. Nothing else may be raised. A reply may come twice.
"""


def button_data(action: Action, link: str, message: Message) -> str:
    """Return what a button carries: the token of its link, or the id of the only alert.

    It is at most 64 bytes long, which is what Telegram takes; "" means that there is no button.
    """
    initial = action.value[0]
    token = link.rpartition("/l/")[2] if "/l/" in link else ""
    if token and len(f"{initial}:{token}".encode()) <= BUTTON_BYTES_MAX:
        return f"{initial}:{token}"
    return f"{initial}#{message.alerts[0]['id']}" if len(message.alerts) == 1 else ""


BUTTON_BYTES_MAX = 64
INITIALS = {action.value[0]: action for action in (Action.ACKNOWLEDGE, Action.RESOLVE)}


def pressed(data: str, sender: str) -> Reply | None:
    """Return what a button asks for; None if it is no button of ours."""
    action, kind, rest = INITIALS.get(data[:1]), data[1:2], data[2:]
    if action is None or not rest:
        return None
    if kind == ":":
        return Reply(action=action, sender=sender, token=rest)
    is_id = kind == "#" and rest.isascii() and rest.isdigit() and len(rest) <= ID_DIGITS_MAX
    return Reply(action=action, sender=sender, alert_id=int(rest)) if is_id else None


ID_DIGITS_MAX = 18
"""More digits are no bigint."""
