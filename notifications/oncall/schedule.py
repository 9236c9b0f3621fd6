"""Computes who is on call at a time, from rotations, overrides and recorded shifts."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct, field

from model.text import Name, Text
from notifications.oncall.rotation import Rotation, duty_at
from notifications.oncall.wall_clock import Moment, ZoneName, zone_of

LAYERS_MAX = 20
SHIFTS_MAX = 1000
PEOPLE_MAX = 100
SEARCH = timedelta(days=400)
"""How far ahead the next change of people is searched. Longer than any turn of a rotation."""

People = Annotated[Sequence[Name], Meta(max_length=PEOPLE_MAX)]


class Shift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The people on call from one time to another, in alphabetical order. Empty: nobody is."""

    starts_at: Moment
    ends_at: Moment
    people: People

    def __post_init__(self) -> None:
        """Refuse a shift that ends before it starts."""
        _check_order(self.starts_at, self.ends_at)
        msgspec.structs.force_setattr(self, "people", tuple(sorted(set(self.people))))


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `starts_at` to `ends_at`, `in` is on call instead of `out`.

    If `out` is not on call, the override changes nothing. Without `out`, `in` is on call in
    addition to the others. Without `in`, nobody replaces `out`. With `everyone`, `in` alone is on
    call.
    """

    starts_at: Moment
    ends_at: Moment
    out: Name | None = None
    in_: Name | None = field(default=None, name="in")
    everyone: bool = False

    def __post_init__(self) -> None:
        """Refuse an override that ends before it starts or that changes nothing."""
        _check_order(self.starts_at, self.ends_at)
        if self.out == self.in_:
            raise ValueError("an override needs out, in, or both, and two different people")
        if self.everyone and (self.out or not self.in_):
            raise ValueError("an override with everyone needs in, and has no out")


class Temporary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A temporary schedule.

    From `starts_at` to `ends_at`, its shifts alone decide who is on call.
    """

    starts_at: Moment
    ends_at: Moment
    shifts: Annotated[Sequence[Shift], Meta(max_length=SHIFTS_MAX)]

    def __post_init__(self) -> None:
        """Refuse shifts outside of the temporary schedule."""
        _check_order(self.starts_at, self.ends_at)
        msgspec.structs.force_setattr(self, "shifts", tuple(self.shifts))
        for shift in self.shifts:
            if shift.starts_at < self.starts_at or shift.ends_at > self.ends_at:
                raise ValueError("each shift must lie between starts_at and ends_at")


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule, with everything that decides who is on call in a range.

    Each rule overrides the following ones:

    1. Before `recorded_until`: only the recorded shifts, so that no change alters the past.
    2. In a temporary schedule: only its shifts. If two overlap, those of the later one in the
       list.
    3. The overrides, in order. Each applies to the result of the layers and earlier overrides.
    4. The layers: only the last one that has somebody at that time.
    """

    name: Name
    title: Text = ""
    tz: ZoneName = "UTC"
    layers: Annotated[Sequence[Rotation], Meta(max_length=LAYERS_MAX)] = ()
    overrides: Sequence[Override] = ()
    temporary: Sequence[Temporary] = ()
    recorded: Sequence[Shift] = ()
    recorded_until: Moment | None = None
    """None: nothing is recorded, and past shifts are computed like future ones."""

    def __post_init__(self) -> None:
        """Refuse an unknown time zone."""
        zone_of(self.tz)
        for name in ("layers", "overrides", "temporary", "recorded"):
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))


class OnCall(Struct, frozen=True):
    """The people on call, and when they change. None: not within SEARCH."""

    people: tuple[str, ...]
    until: datetime | None


def on_call(schedule: Schedule, at: datetime) -> OnCall:
    """Return who is on call at a time, and when that changes."""
    shift = next(_shifts(schedule, at, at + SEARCH))
    until = shift.ends_at if shift.ends_at < at + SEARCH else None
    return OnCall(tuple(shift.people), until)


def people_on_call(schedule: Schedule, at: datetime) -> tuple[str, ...]:
    """Return who is on call at a time. Much faster than `on_call`."""
    return _at(schedule, zone_of(schedule.tz), at)[0]


def shifts(schedule: Schedule, start: datetime, end: datetime) -> list[Shift]:
    """Return who is on call from `start` to `end`, without gaps: some shifts may have nobody.

    Consecutive shifts have different people. The first and last shift are cut to the range.
    """
    return list(_shifts(schedule, start, end))


def shifts_of(schedule: Schedule, person: str, start: datetime, end: datetime) -> list[Shift]:
    """Return when a person is on call, alone or with others, as shifts of this person only."""
    found: list[Shift] = []
    for shift in _shifts(schedule, start, end):
        if person not in shift.people:
            continue
        since = shift.starts_at
        if found and found[-1].ends_at == since:
            since = found.pop().starts_at
        found.append(Shift(starts_at=since, ends_at=shift.ends_at, people=(person,)))
    return found


def names_in(schedule: Schedule, now: datetime) -> set[str]:
    """Return all people whom a schedule names, except in shifts and overrides that have ended."""
    shifts_to_come = [
        shift
        for temporary in schedule.temporary
        for shift in temporary.shifts
        if shift.ends_at > now
    ]
    overrides = [override for override in schedule.overrides if override.ends_at > now]
    return {
        *(person for layer in schedule.layers for person in layer.people),
        *(person for shift in shifts_to_come for person in shift.people),
        *(person for override in overrides for person in (override.in_, override.out) if person),
    }


def to_record(schedule: Schedule, until: datetime) -> list[Shift]:
    """Return the shifts to record now, so that later changes leave the time before `until` alone.

    They start at `recorded_until`, which is set to the time at which the schedule was created.
    """
    start = schedule.recorded_until
    found = _shifts(schedule, start, until) if start else ()
    return [shift for shift in found if shift.people]


def _shifts(schedule: Schedule, start: datetime, end: datetime) -> Iterator[Shift]:
    zone, edges = zone_of(schedule.tz), _edges(schedule)
    since, at = start, start
    people: tuple[str, ...] | None = None
    while at < end:
        now, until = _at(schedule, zone, at)
        if people is not None and now != people:
            yield Shift(starts_at=since, ends_at=at, people=people)
            since = at
        people = now
        following = bisect_right(edges, at)
        at = min([end, *edges[following : following + 1], *([until] if until else [])])
    if people is not None:
        yield Shift(starts_at=since, ends_at=end, people=people)


def _edges(schedule: Schedule) -> list[datetime]:
    """Return every time at which anything but a rotation starts or ends, in order."""
    spans: list[Shift | Override | Temporary] = [
        *schedule.recorded,
        *schedule.overrides,
        *schedule.temporary,
        *(shift for temporary in schedule.temporary for shift in temporary.shifts),
    ]
    edges = {edge for span in spans for edge in (span.starts_at, span.ends_at)}
    return sorted(edges | ({schedule.recorded_until} if schedule.recorded_until else set()))


def _at(
    schedule: Schedule, zone: ZoneInfo, at: datetime
) -> tuple[tuple[str, ...], datetime | None]:
    """Return who is on call, and until when the rotations do not change that."""
    if schedule.recorded_until and at < schedule.recorded_until:
        return _people_of(schedule.recorded, at), None
    for temporary in reversed(schedule.temporary):
        if temporary.starts_at <= at < temporary.ends_at:
            return _people_of(temporary.shifts, at), None
    person, until = _of_layers(schedule.layers, at, zone)
    return _overridden({person} if person else set(), schedule.overrides, at), until


def _people_of(recorded: Sequence[Shift], at: datetime) -> tuple[str, ...]:
    people = {
        person
        for shift in recorded
        if shift.starts_at <= at < shift.ends_at
        for person in shift.people
    }
    return tuple(sorted(people))


def _of_layers(
    layers: Sequence[Rotation], at: datetime, zone: ZoneInfo
) -> tuple[str | None, datetime | None]:
    """Return the person of the last layer that has one, and until when no layer changes that."""
    ends: list[datetime] = []
    for layer in reversed(layers):
        duty = duty_at(layer, at, zone)
        ends += [duty.until] if duty.until else []
        if duty.person:
            return duty.person, min(ends, default=None)
    return None, min(ends, default=None)


def _overridden(people: set[str], overrides: Sequence[Override], at: datetime) -> tuple[str, ...]:
    for override in overrides:
        is_meant = override.out is None or override.out in people
        if is_meant and override.starts_at <= at < override.ends_at:
            left = set() if override.everyone else people - {override.out}
            people = left | ({override.in_} if override.in_ else set())
    return tuple(sorted(people))


def _check_order(starts_at: datetime, ends_at: datetime) -> None:
    if starts_at >= ends_at:
        raise ValueError("ends_at must be after starts_at")
