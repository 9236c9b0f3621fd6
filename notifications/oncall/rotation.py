"""Rotations: people take turns, with hand-overs at fixed local times."""

import calendar
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from model.text import END_OF_DAY, Name
from notifications.oncall.wall_clock import Local, first_moment, local_time

LENGTH_MAX = {"hour": 8760, "day": 365, "week": 52, "month": 12}
"""The longest turn in each unit, which is about a year."""
YEARS = range(1970, 2201)
PEOPLE_MAX = 100
ACTIVE_MAX = 20
DAY, WEEK = timedelta(days=1), timedelta(days=7)
A_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")

Unit = Literal["hour", "day", "week", "month"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Clock = Annotated[str, Meta(pattern=END_OF_DAY)]
"""A time of day such as `09:00`. `24:00` is the end of the day."""


class ActiveHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours in which a rotation has somebody on call. Without weekdays, they apply every day.

    If the end is not after the start, the hours end on the next day.
    """

    weekdays: Annotated[Sequence[Weekday], Meta(max_length=7)] = ()
    start: Clock = "00:00"
    end: Clock = "24:00"

    def __post_init__(self) -> None:
        """Convert the weekdays to a tuple, so that the struct is immutable."""
        msgspec.structs.force_setattr(self, "weekdays", tuple(self.weekdays))
        if self.start == "24:00":
            raise ValueError("active: start must be from 00:00 to 23:59")


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People who take turns of `length` units, in order, starting at `start`.

    `start` is a local time in the time zone of the schedule. Every hand-over is computed from it in
    local time. So turns of days, weeks and months keep their hour across changes of the clocks, and
    turns of hours start at the same hours of the day. Before `start` nobody is on call.
    """

    start: Local
    unit: Unit = "week"
    length: Annotated[int, Meta(ge=1)] = 1
    people: Annotated[Sequence[Name], Meta(min_length=1, max_length=PEOPLE_MAX)]
    active: Annotated[Sequence[ActiveHours], Meta(max_length=ACTIVE_MAX)] = ()
    """Empty: always. Outside of these hours nobody is on call, but turns continue."""

    def __post_init__(self) -> None:
        """Refuse turns that are too long, and a start that is not a whole minute."""
        for name in ("people", "active"):
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))
        if not 1 <= self.length <= LENGTH_MAX[self.unit]:
            raise ValueError(f"length must be from 1 to {LENGTH_MAX[self.unit]} {self.unit}s")
        if not self.people:
            raise ValueError("people must name at least one person")
        if self.start.second or self.start.microsecond or self.start.year not in YEARS:
            raise ValueError("start must be a whole minute of the years 1970 to 2200")


class Duty(Struct, frozen=True):
    """The person on call in a rotation, if any. The answer stays the same until `until`."""

    person: str | None
    until: datetime | None


def duty_at(rotation: Rotation, at: datetime, zone: ZoneInfo) -> Duty:
    """Return who is on call in a rotation at a time."""
    number = _number(rotation, at, zone)
    if number < 0:
        return Duty(None, handover(rotation, 0, zone))
    is_active, changes_at = activity(rotation.active, at, zone)
    ends = [] if len(set(rotation.people)) == 1 else [handover(rotation, number + 1, zone)]
    person = rotation.people[number % len(rotation.people)] if is_active else None
    return Duty(person, min(ends + changes_at, default=None))


def handover(rotation: Rotation, number: int, zone: ZoneInfo) -> datetime:
    """Return when the turn with a number starts. The first turn has number 0."""
    return first_moment(_local_handover(rotation, number), zone)


def begun_by(rotation: Rotation, at: datetime, zone: ZoneInfo) -> Rotation:
    """Return an equivalent rotation that has started by `at`."""
    number, start = 0, rotation.start
    # Skip starts in months that are shorter than the day of the start, because later hand-overs
    # would move to an earlier day.
    while first_moment(start, zone) > at or (
        rotation.unit == "month" and start.day != rotation.start.day
    ):
        number -= 1
        start = _local_handover(rotation, number)
    first = number % len(rotation.people)
    people = [*rotation.people[first:], *rotation.people[:first]]
    return msgspec.structs.replace(rotation, start=start, people=people)


def _number(rotation: Rotation, at: datetime, zone: ZoneInfo) -> int:
    """Return the number of the turn at a time. It is negative before the start.

    The estimate from the local time is one too low if local times repeat, or if a change of the
    clocks skips a hand-over. The loops correct it. A turn that lies completely in a skipped hour
    has no length and is passed over.
    """
    number = _estimate(rotation, local_time(at, zone))
    while handover(rotation, number, zone) > at:
        number -= 1
    while handover(rotation, number + 1, zone) <= at:
        number += 1
    return number


def _estimate(rotation: Rotation, local: datetime) -> int:
    start = rotation.start
    if rotation.unit == "month":
        return (12 * (local.year - start.year) + local.month - start.month) // rotation.length
    return (local - start) // _step(rotation)


def _local_handover(rotation: Rotation, number: int) -> datetime:
    """Return the local time of a hand-over.

    If the month lacks the day, it is the last of the month.
    """
    start = rotation.start
    if rotation.unit != "month":
        return start + number * _step(rotation)
    years, month = divmod(start.month - 1 + number * rotation.length, 12)
    year = start.year + years
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def _step(rotation: Rotation) -> timedelta:
    return timedelta(**{f"{rotation.unit}s": rotation.length})


def activity(
    active: Sequence[ActiveHours], at: datetime, zone: ZoneInfo
) -> tuple[bool, list[datetime]]:
    """Return whether a time is in active hours, and until when the answer surely stays the same.

    Only the days around the time are examined, so the answer holds until the day after tomorrow at
    most.
    """
    if not active:
        return True, []
    today = datetime.combine(local_time(at, zone), time())
    spans = [span for hours in active for span in _spans(hours, today, zone)]
    edges = [edge for span in spans for edge in span if edge > at]
    is_active = any(start <= at < end for start, end in spans)
    return is_active, [min([*edges, first_moment(today + 2 * DAY, zone)])]


def active_until(
    active: Sequence[ActiveHours], at: datetime, zone: ZoneInfo, longest: timedelta
) -> datetime | None:
    """Return the end of the active hours at a time. None: it is outside of active hours.

    Adjacent hours count as one. The end is searched within `longest`.
    """
    end = at
    while active and end < at + longest:
        is_active, changes_at = activity(active, end, zone)
        if not is_active:
            break
        end = min(changes_at)
    return min(end, at + longest) if end > at else None


def leave_no_time(active: Sequence[ActiveHours]) -> bool:
    """Return whether hours cover every moment of a week without changes of the clocks."""
    return active_until(active, A_MONDAY, UTC_ZONE, 2 * WEEK) == A_MONDAY + 2 * WEEK


def _spans(
    hours: ActiveHours, today: datetime, zone: ZoneInfo
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the hours of yesterday, which may not have ended, of today and of tomorrow."""
    start, end = since_midnight(hours.start), since_midnight(hours.end)
    end += DAY if end <= start else timedelta()
    for day in (today - DAY, today, today + DAY):
        if not hours.weekdays or WEEKDAYS[day.weekday()] in hours.weekdays:
            yield first_moment(day + start, zone), first_moment(day + end, zone)


def since_midnight(clock: str) -> timedelta:
    """Return the time since midnight of a time of day."""
    hour, minute = clock.split(":")
    return timedelta(hours=int(hour), minutes=int(minute))
