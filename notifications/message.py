"""The message: what one address is sent, in words that are already the reader's own."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Raw, Struct, field

from model.severity import Level


class Kind(StrEnum):
    """What a message is about."""

    ALERT = "alert"
    INCIDENT = "incident"
    MAINTENANCE = "maintenance"
    ON_CALL = "on_call"
    ACCOUNT = "account"
    REPORT = "report"
    EVENTS = "events"
    TEST = "test"


class Event(StrEnum):
    """What happened; `group` stands for several alerts in one message.

    The last four are about no alert.
    """

    OPENED = "opened"
    ESCALATED = "escalated"
    LOWERED = "lowered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REMINDER = "reminder"
    GROUP = "group"
    TEST = "test"
    SHIFT_STARTED = "shift_started"
    SHIFT_ENDED = "shift_ended"
    CODE = "code"
    EVENTS = "events"
    """Of the bus, see `BusEvent`."""


class Language(StrEnum):
    """The languages that messages are written in."""

    ENGLISH = "en"
    BRAZILIAN_PORTUGUESE = "pt-BR"


def thread_of(alert_id: int) -> str:
    """Return the thread of everything that is said about one alert."""
    return f"alert-{alert_id}"


class Links(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Addresses in a message; an empty one is left out."""

    alert: str = ""
    chart: str = ""
    runbook: str = ""
    acknowledge: str = ""
    """Signed and good for one use: GET shows a page, POST acknowledges."""
    resolve: str = ""
    """Signed and good for one use, like `acknowledge`."""


class BusEvent(Struct, frozen=True):
    """An event of the bus, as a channel of the type `events` sends it."""

    seq: int | None
    """Its number, which grows; None: it is not of the bus."""
    type: str
    time: datetime
    data: Raw
    """JSON."""


class Message(Struct, frozen=True, kw_only=True):
    """One message to one address.

    `title` is one line. `text` is a few plain lines, written for a person; nothing in either is
    escaped, because each channel escapes in its own way. `facts` are pairs of a label and a value
    for channels that show a table.
    """

    key: str
    """The idempotency key: the same on each try."""
    kind: Kind
    event: Event
    time: datetime
    title: str
    text: str
    level: Level | None = None
    """The level of the alert, or the highest of a group; None where there is no alert."""
    facts: tuple[tuple[str, str], ...] = ()
    alerts: tuple[dict[str, Any], ...] = ()
    """Whole alerts, as `GET /alerts/{id}` shows them: one, or those of a group."""
    events: tuple[BusEvent, ...] = ()
    """Of the bus, oldest first."""
    links: Links = field(default_factory=Links)
    picture: bytes | None = None
    """The last hour as a PNG."""
    language: Language = Language.ENGLISH
    thread: str = ""
    """The same for all messages about one alert, see `thread_of`: providers keep them together."""
    step: int = 0
    """Of an escalation policy, from 1; 0: no policy sends it."""
    earlier: str = ""
    """The provider's reference of the first message about this alert to this address, if any."""

    @property
    def is_resolved(self) -> bool:
        """Return whether the matter is over."""
        return self.event is Event.RESOLVED
