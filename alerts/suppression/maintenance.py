"""Maintenance windows: planned work, once or recurring, on the clock of a time zone."""

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct, field
from psycopg.types.json import Jsonb

from alerts.suppression.suppress import Matcher
from db import queries
from db.queries import Connection
from model.text import TIME_OF_DAY, Lines, Name
from model.times import DAY_S, MINUTE_S, WholeDuration, duration_text, whole_seconds

_QUERIES = queries.load(__file__)
INSERT = _QUERIES["insert"]
UPDATE = _QUERIES["update"]
END = _QUERIES["end"]
READ = _QUERIES["read"]

DURATIONS_S = range(MINUTE_S, 31 * DAY_S + 1)

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The alerts that a maintenance window covers, and when it recurs.

    Without a matcher it covers all alerts. A recurring window starts at `time` on its days, in the
    zone `tz`, and lasts for `duration`. In a month without a given day it starts on the last day.
    """

    name: Name
    matcher: Matcher = field(default_factory=Matcher)
    repeat: Literal["once", "daily", "weekly", "monthly"] = "once"
    tz: Annotated[str, Meta(max_length=64)] = "UTC"
    time: Annotated[str, Meta(pattern=TIME_OF_DAY)] | None = None
    duration: WholeDuration | None = None
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = field(default_factory=list)
    days: Annotated[list[Annotated[int, Meta(ge=1, le=31)]], Meta(max_length=31)] = field(
        default_factory=list
    )
    comment: Lines = ""
    enabled: bool = True


class Window(Plan, frozen=True, kw_only=True):
    """A plan with its validity; for a one-off window that is the window itself."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def __post_init__(self) -> None:
        """Reject a window that could never start, and fields that would be ignored."""
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            raise ValueError("ends_at must be after starts_at")
        if self.repeat == "once":
            if not self.starts_at or not self.ends_at or self.time or self.duration:
                raise ValueError(
                    "a one-off window needs starts_at and ends_at, and takes no time or duration"
                )
        elif not self.time or whole_seconds(self.duration or "0s") not in DURATIONS_S:
            raise ValueError("a recurring window needs a time, and a duration from 1m to 31d")
        if (self.repeat == "weekly") != bool(self.weekdays):
            raise ValueError("weekdays: a weekly window needs them, and no other window takes them")
        if (self.repeat == "monthly") != bool(self.days):
            raise ValueError("days: a monthly window needs them, and no other window takes them")
        try:
            ZoneInfo(self.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("tz must be a time zone such as Europe/Lisbon") from None


class StoredWindow(Window, frozen=True, kw_only=True):
    """A stored window, and who last changed it."""

    id: int
    updated_at: datetime
    updated_by: str


async def insert(connection: Connection, window: Window, at: datetime, actor: str) -> int | None:
    """Insert a window and return its id; None if its name is taken."""
    number: int | None = await queries.value(
        connection, INSERT, **_parameters(window), at=at, actor=actor
    )
    return number


async def update(
    connection: Connection, number: int, window: Window, at: datetime, actor: str
) -> bool:
    """Replace a window; return False if there is none with this id, or if the name is taken."""
    return bool(
        await queries.run(connection, UPDATE, id=number, **_parameters(window), at=at, actor=actor)
    )


async def end(connection: Connection, number: int, at: datetime, actor: str) -> None:
    """Remove a window: from now on it is not listed and suppresses nothing."""
    await queries.run(connection, END, id=number, at=at, actor=actor)


async def read(
    connection: Connection, number: int | None = None, *, after: int = 0, limit: int = 1
) -> list[StoredWindow]:
    """Return windows whose id is greater than `after`, oldest first."""
    found = await queries.rows(
        connection, dict[str, Any], READ, id=number, after=after, limit=limit
    )
    return [_of_columns(row) for row in found]


def _parameters(window: Window) -> dict[str, Any]:
    row = msgspec.structs.asdict(window)
    duration = row.pop("duration")
    return {
        **row,
        "duration_s": None if duration is None else whole_seconds(duration),
        "matcher": Jsonb(msgspec.to_builtins(window.matcher)),
    }


def _of_columns(row: dict[str, Any]) -> StoredWindow:
    length = row.pop("duration_s")
    return msgspec.convert(
        {**row, "duration": None if length is None else duration_text(length)}, StoredWindow
    )
