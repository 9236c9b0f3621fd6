"""The message to one address, already written in the reader's language."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Raw, Struct, field

from model.severity import Level


class Kind(StrEnum):
    """The subject of a message."""

    ALERT = "alert"
    INCIDENT = "incident"
    MAINTENANCE = "maintenance"
    ON_CALL = "on_call"
    ACCOUNT = "account"
    REPORT = "report"
    EVENTS = "events"
    TEST = "test"


class Event(StrEnum):
    """What happened. `group` stands for several alerts in one message.

    The last four events concern no alert.
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
    """The languages of messages."""

    ENGLISH = "en"
    BRAZILIAN_PORTUGUESE = "pt-BR"


def thread_of(alert_id: int) -> str:
    """Return the thread id of all messages about one alert."""
    return f"alert-{alert_id}"


class Links(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The URLs in a message. Empty URLs are left out."""

    alert: str = ""
    chart: str = ""
    runbook: str = ""
    acknowledge: str = ""
    """Signed and valid for one use: GET shows a page, POST acknowledges."""
    resolve: str = ""
    """Signed and valid for one use, like `acknowledge`."""


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

    `title` is one line. `text` is a few lines of plain text for people. Neither is escaped, because
    each channel escapes in its own way. `facts` are pairs of a label and a value, for channels that
    show a table.
    """

    key: str
    """The idempotency key, which is the same on each try."""
    kind: Kind
    event: Event
    time: datetime
    title: str
    text: str
    level: Level | None = None
    """The level of the alert, or the highest level of a group.

    None: the message concerns no alert.
    """
    facts: tuple[tuple[str, str], ...] = ()
    alerts: tuple[dict[str, Any], ...] = ()
    """The alert, or the alerts of a group, as `GET /alerts/{id}` shows them."""
    events: tuple[BusEvent, ...] = ()
    """Events of the bus, oldest first."""
    links: Links = field(default_factory=Links)
    picture: bytes | None = None
    """A chart of the last hour, as a PNG."""
    language: Language = Language.ENGLISH
    thread: str = ""
    """The id that all messages about one alert share, see `thread_of`. Providers group by it."""
    step: int = 0
    """The step of the escalation policy, from 1. 0: no policy sends the message."""
    earlier: str = ""
    """The provider's id of the first message about this alert to this address, if there was one."""

    @property
    def is_resolved(self) -> bool:
        """Return whether the alert, or whatever the message concerns, is over."""
        return self.event is Event.RESOLVED
