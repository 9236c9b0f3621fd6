"""The interface of channels: what a channel type declares, how it sends, and how it fails."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from model.validation.words import explain
from notifications.message import Message
from runtime.network.egress import Egress

TIMEOUT_S = 10.0
"""The deadline of one try, from the connection to the end of the answer."""
ANSWER_CHARS_MAX = 8000
"""How many characters of an answer are read. Secrets are removed before the answer is cut."""
LOGGED_CHARS_MAX = 500
"""How many characters of an answer the delivery log keeps."""

Url = Annotated[str, Meta(max_length=2000)]


class Receipt(Struct, frozen=True, kw_only=True):
    """The provider accepted the message."""

    status: int = 0
    """The HTTP status or the SMTP code."""
    answer: str = ""
    """The beginning of the answer, as text."""
    reference: str = ""
    """The provider's id of the message. A later message can reply to it or replace it."""


class DeliveryError(Exception):
    """The provider did not accept the message.

    The text names the cause. It contains neither the secret nor the address.
    """

    def __init__(self, reason: str, *, status: int = 0, answer: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer[:ANSWER_CHARS_MAX]


class TemporaryError(DeliveryError):
    """Another try may succeed.

    If the provider named a time, the next try is not before `retry_after_s` seconds.
    """

    def __init__(
        self, reason: str, *, status: int = 0, answer: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(reason, status=status, answer=answer)
        self.retry_after_s = retry_after_s


class PermanentError(DeliveryError):
    """Every other try would fail too, until somebody changes the channel."""


class GoneError(PermanentError):
    """The address no longer exists, such as an expired subscription, and should be removed."""


class RateLimit(Struct, frozen=True):
    """How many messages one address may be sent in how many seconds."""

    messages: int = 10
    period_s: float = 60.0


class Channel(Struct, frozen=True, kw_only=True):
    """A channel ready to send: its decrypted address and secret, and the settings of its type.

    `repr` leaves out the address and the secret, so that neither gets into a log.
    """

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
    """Return the settings of the channel's type.

    Raises PermanentError if the stored settings do not fit the type.
    """
    try:
        return msgspec.convert(channel.settings, kind)
    except msgspec.ValidationError as error:
        raise PermanentError(f"the channel's settings are wrong: {explain(error, kind)}") from error


def accept(_: Channel) -> None:
    """Accept every channel: the type has nothing to check before a message is sent."""


Check = Callable[[Channel], None]
"""Raises InvalidError, which says what to write instead, if the channel could never send."""
Readdress = Callable[[Channel, str], Channel]
"""Returns the channel with another address, for types where each message may have its own.

Raises InvalidError, which says what to write instead, if the text is not an address of the type.
"""
Send = Callable[[Egress, Channel, Message, datetime], Awaitable[Receipt]]
"""Sends one message now. Raises DeliveryError; any other exception is a defect in Vigia."""


class ChannelType(Struct, frozen=True, kw_only=True):
    """A type of channel, such as `slack`: how it sends, and what a channel of this type needs."""

    name: str
    title: str
    send: Send
    settings: type[Struct]
    """The fields besides `url` and `secret`; unknown fields are refused."""
    url_example: str
    """An example, shown if the `url` of a channel is missing or wrong."""
    about: str
    """One sentence that helps people to choose a type."""
    url_label: str = "Address"
    url_hint: str = ""
    credential_label: str = "Secret"
    credential: str = ""
    """What the secret is, such as "the bot's token". Empty: the type has no secret."""
    needs_secret: bool = False
    check: Check = accept
    """Called before a channel is stored."""
    url_default: str = ""
    """The address of a channel without a `url`. Empty: the `url` is required."""
    limit: RateLimit = RateLimit()
    shows_picture: bool = False
    """Whether a message can contain a picture."""
    readdress: Readdress | None = None
    """None: a channel of this type sends to one address only."""
    can_acknowledge: bool = False
    """Whether a reader can acknowledge in the message itself, without opening a link."""
    follows_bus: bool = False
    """Whether the type sends the events of the bus, and never messages about alerts."""
    is_dropped_when_gone: bool = False
    """Whether an address that no longer exists is removed.

    True for addresses that a program created, such as the subscription of a browser.
    """
