"""What a message is about, and who reads it."""

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
"""As `GET /alerts/{id}` shows it: its level and times are text, or what the text stands for."""
NAME_LENGTH_MAX = 60
UNIT_LENGTH_MAX = 20
OTHER_THAN_VALUES = frozenset({"sum", "count", "stddev", "rate"})
"""Aggregates that are not of the size of the values they are made of."""


class StepReached(Struct, frozen=True):
    """Where an escalation has come to."""

    number: int
    """From 1 on."""
    of: int


class Expired(Struct, frozen=True):
    """An acknowledgement that nobody followed up."""

    person: str
    after_s: float


class Measure(Struct, frozen=True, kw_only=True):
    """What the rule of an alert compares with its levels, and the unit of the series."""

    metric: str
    unit: str = ""
    category: str = ""
    kind: str = "threshold"
    """A kind of rule."""
    agg: str = "avg"
    window_s: float = 60
    over: str = ""
    """The other metric of a ratio."""
    is_relative: bool = False
    """Whether a change is in percent."""

    @property
    def value_unit(self) -> str:
        """The unit of what is compared, which need not be that of the series."""
        if self.kind in {"ratio", "burn"} or self.agg == "count":
            return ""
        return "percent" if self.is_relative else self.own_unit

    @property
    def is_of_series(self) -> bool:
        """Whether the limit is one of the values of the series, and may stand beside them."""
        return self.kind == "threshold" and self.agg not in OTHER_THAN_VALUES

    @property
    def own_unit(self) -> str:
        """The unit of the series, which anybody may have sent, as part of a line."""
        return one_line(self.unit, UNIT_LENGTH_MAX)


class Logged(Struct, frozen=True, kw_only=True):
    """One row of an alert's audit."""

    type: str
    actor: str = ""
    comment: str = ""


class ShownAlert(Struct, frozen=True, kw_only=True):
    """What a message needs of an alert as `GET /alerts/{id}` shows it."""

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
        """Return the newest row of the audit of one of some types."""
        empty = Logged(type="")
        return next((row for row in reversed(self.events) if row.type in types), empty)


class Situation(Struct, frozen=True, kw_only=True):
    """What happened, to which alerts, and all that is known about it."""

    event: Event
    key: str
    now: datetime
    alerts: Sequence[WholeAlert] = ()
    """One, as `GET /alerts/{id}` shows it; those of a group; none for the test of a channel."""
    previous_level: Level | None = None
    measure: Measure | None = None
    """None where nothing was measured: a composite, a test, an alert of another service."""
    last_hour: LastHour | None = None
    what_changed: Sequence[str] = ()
    """Lines of others about what changed before it began, the likeliest cause first."""
    runbook: str = ""
    """An address, or a text that says where the procedure is."""
    step: StepReached | None = None
    expired: Expired | None = None


class Reader(Struct, frozen=True, kw_only=True):
    """Who reads the message, and on what."""

    language: Language = Language.ENGLISH
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    has_text_chart: bool = True
    """Whether a row of blocks can be shown; in a short message it would double the price."""


def shown(alert: WholeAlert) -> ShownAlert:
    """Return what a message needs of an alert, with times as text or as they are."""
    return msgspec.convert(alert, ShownAlert)


def one_line(text: str, length: int = LINE_LENGTH_MAX) -> str:
    """Return a text of others as part of a line: nothing in it acts, and it is not too long."""
    return cut(" ".join(clean(text).split()), length)
