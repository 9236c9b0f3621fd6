"""How a channel sends: what it is given, what it answers, and how it fails."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from model.validation.words import explain
from notifications.message import Message
from runtime.network.egress import Egress

TIMEOUT_S = 10.0
"""One try, from the connection to the end of the answer."""
ANSWER_CHARS_MAX = 500
"""How much of an answer the delivery log keeps."""

Url = Annotated[str, Meta(max_length=2000)]


class Receipt(Struct, frozen=True, kw_only=True):
    """A provider took the message."""

    status: int = 0
    """The HTTP status or the SMTP code."""
    answer: str = ""
    """The beginning of the answer, as text."""
    reference: str = ""
    """How the provider calls the message, so that a later one can answer or replace it."""


class DeliveryError(Exception):
    """The message was not taken. The text names the cause, and never a secret or the address."""

    def __init__(self, reason: str, *, status: int = 0, answer: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer[:ANSWER_CHARS_MAX]


class TemporaryError(DeliveryError):
    """Another try may succeed; not before `retry_after_s` seconds, where the provider said so."""

    def __init__(
        self, reason: str, *, status: int = 0, answer: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason, status=status, answer=answer)
        self.retry_after_s = retry_after_s


class PermanentError(DeliveryError):
    """No other try can succeed until someone changes the channel."""


class GoneError(PermanentError):
    """The address does not exist any more, such as an expired subscription: remove it."""


class RateLimit(Struct, frozen=True):
    """How many messages one address takes in how many seconds."""

    messages: int = 10
    period_s: float = 60.0


class Channel(Struct, frozen=True, kw_only=True):
    """A channel as it is sent by: its address, its secret, and its type's own settings."""

    id: int
    name: str
    type: str
    url: str = ""
    secret: str = ""
    settings: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"Channel(id={self.id}, name={self.name!r}, type={self.type!r})"


Settings = TypeVar("Settings", bound=Struct)


def settings_of(channel: Channel, kind: type[Settings]) -> Settings:
    """Return the settings of the channel's type. Raises PermanentError if they are not its own."""
    try:
        return msgspec.convert(channel.settings, kind)
    except msgspec.ValidationError as error:
        raise PermanentError(f"the channel's settings are wrong: {explain(error, kind)}") from error


def accept(_: Channel) -> None:
    """Check nothing: whatever is wrong shows when a message is sent."""


Check = Callable[[Channel], None]
"""Raises InvalidError where a channel could never send, with what to write instead."""
Readdress = Callable[[Channel, str], Channel]
"""Returns a channel as it sends to one address, of which each message may have its own.

Raises InvalidError for a text that is no address of the type, with what to write instead.
"""
Send = Callable[[Egress, Channel, Message, datetime], Awaitable[Receipt]]
"""Sends one message now. Raises DeliveryError; anything else is a defect."""


class ChannelType(Struct, frozen=True, kw_only=True):
    """What is known of a type of channel."""

    name: str
    title: str
    send: Send
    settings: type[Struct]
    """The fields beside `url` and `secret`; unknown ones are refused."""
    url_example: str
    """Shown where a channel's `url` is missing or wrong."""
    about: str
    """What it is, in one sentence for people who choose one."""
    url_label: str = "Address"
    url_hint: str = ""
    credential_label: str = "Secret"
    credential: str = ""
    """What the secret is, such as "the bot's token"; empty: the type has none."""
    needs_secret: bool = False
    check: Check = accept
    """Called before a channel is stored."""
    url_default: str = ""
    """Where messages go without a `url`; empty: the `url` is required."""
    limit: RateLimit = RateLimit()
    shows_picture: bool = False
    """Whether a message can have a picture in it."""
    readdress: Readdress | None = None
    """None: a channel sends to one place only."""
    can_acknowledge: bool = False
    """Whether a reader can act within the message, without opening a link."""
    follows_bus: bool = False
    """Whether it sends the events of the bus, and never a message about alerts."""
    is_dropped_when_gone: bool = False
    """Whether an address that does not exist any more is removed, because a machine made it."""
