"""The event that a message is about, and the person who reads it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct, field

from model.severity import Level
from model.text import clean
from notifications.cutting import cut
from notifications.message import Event, Language
from notifications.wording.last_hour import LastHour

EPOCH = datetime.fromtimestamp(0, UTC)
TITLE_LENGTH_MAX = 160
ITEM_LENGTH_MAX = 80
LINE_LENGTH_MAX = 300
WholeAlert = dict[str, Any]
"""An alert as `GET /alerts/{id}` shows it.

Its level and times are texts or the values themselves.
"""
NAME_LENGTH_MAX = 60
UNIT_LENGTH_MAX = 20
OTHER_THAN_VALUES = frozenset({"sum", "count", "stddev", "rate"})
"""Aggregates whose results are of another magnitude than the values."""


class StepReached(Struct, frozen=True):
    """The escalation step that sends the message."""

    number: int
    """From 1."""
    of: int


class Expired(Struct, frozen=True):
    """An acknowledgement that expired before the alert was resolved."""

    person: str
    after_s: float


class Measure(Struct, frozen=True, kw_only=True):
    """The measure that a rule compares with its limits, and the unit of the series."""

    metric: str
    unit: str = ""
    category: str = ""
    kind: str = "threshold"
    """The kind of the rule."""
    agg: str = "avg"
    window_s: float = 60
    over: str = ""
    """The second metric of a ratio."""
    is_relative: bool = False
    """Whether a change is in percent."""

    @property
    def value_unit(self) -> str:
        """The unit of the compared value, which may differ from that of the series."""
        if self.kind in {"ratio", "burn"} or self.agg == "count":
            return ""
        return "percent" if self.is_relative else self.own_unit

    @property
    def is_of_series(self) -> bool:
        """Whether the limit is comparable to the values, so that a chart can show both."""
        return self.kind == "threshold" and self.agg not in OTHER_THAN_VALUES

    @property
    def own_unit(self) -> str:
        """The unit of the series, made safe for a line, because any sender can set it."""
        return one_line(self.unit, UNIT_LENGTH_MAX)


class Logged(Struct, frozen=True, kw_only=True):
    """One row of an alert's audit."""

    type: str
    actor: str = ""
    comment: str = ""


class ShownAlert(Struct, frozen=True, kw_only=True):
    """The fields of an alert, as `GET /alerts/{id}` shows it, that messages use."""

    id: int
    level: Level
    title: str
    rule: str = ""
    component: str = ""
    labels: dict[str, str] = {}
    message: str = ""
    value: float | None = None
    threshold: float | None = None
    opened_at: datetime = EPOCH
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    events: list[Logged] = []

    def last(self, *types: str) -> Logged:
        """Return the newest audit row of any of these types."""
        empty = Logged(type="")
        return next((row for row in reversed(self.events) if row.type in types), empty)


class Situation(Struct, frozen=True, kw_only=True):
    """An event, its alerts, and everything that is known about them."""

    event: Event
    key: str
    now: datetime
    alerts: Sequence[WholeAlert] = ()
    """One alert as `GET /alerts/{id}` shows it, or those of a group.

    Empty for the test of a channel.
    """
    previous_level: Level | None = None
    measure: Measure | None = None
    """None: nothing is measured, as for a composite, a test or an alert of another service."""
    last_hour: LastHour | None = None
    what_changed: Sequence[str] = ()
    """Lines about what changed before the alert opened, the most likely cause first."""
    runbook: str = ""
    """A URL, or a text that says where the procedure is."""
    step: StepReached | None = None
    expired: Expired | None = None


class Reader(Struct, frozen=True, kw_only=True):
    """The reader of a message, and the abilities of the channel."""

    language: Language = Language.ENGLISH
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    has_text_chart: bool = True
    """Whether to include a row of blocks. In an SMS it would double the price."""


def shown(alert: WholeAlert) -> ShownAlert:
    """Return the fields that messages use."""
    return msgspec.convert(alert, ShownAlert)


def one_line(text: str, length: int = LINE_LENGTH_MAX) -> str:
    """Return a text of others made safe for a line: no control characters, and not too long."""
    return cut(" ".join(clean(text).split()), length)
