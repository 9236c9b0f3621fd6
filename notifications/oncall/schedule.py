"""Schedules: who is on call at a moment, from rotations, exceptions and what was recorded."""

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
"""How far ahead a change of people is looked for: longer than any turn."""

People = Annotated[Sequence[Name], Meta(max_length=PEOPLE_MAX)]


class Shift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is on call from one moment to another, in order of their names; it may be nobody."""

    starts_at: Moment
    ends_at: Moment
    people: People

    def __post_init__(self) -> None:
        """Refuse a shift that ends before it starts."""
        _check_order(self.starts_at, self.ends_at)
        msgspec.structs.force_setattr(self, "people", tuple(sorted(set(self.people))))


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From one moment to another, `in` is on call instead of `out`: "take this shift".

    While `out` is not on call, it changes nothing. Without `out`, `in` is on call as well; without
    `in`, `out` is not on call and nobody takes the place. With `everyone`, `in` alone is on call,
    whoever was.
    """

    starts_at: Moment
    ends_at: Moment
    out: Name | None = None
    in_: Name | None = field(default=None, name="in")
    everyone: bool = False

    def __post_init__(self) -> None:
        """Refuse an override that ends before it starts, or changes nothing."""
        _check_order(self.starts_at, self.ends_at)
        if self.out == self.in_:
            raise ValueError("an override needs out, in, or both, and two different people")
        if self.everyone and (self.out or not self.in_):
            raise ValueError("an override with everyone needs in, and has no out")


class Temporary(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A temporary schedule: from one moment to another its shifts alone say who is on call."""

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
    """A schedule, with all that says who is on call in the range that is looked at.

    From the strongest to the weakest:

    1. Before `recorded_until`, the recorded shifts alone: no change rewrites the past.
    2. In a temporary schedule, its shifts alone; of two at a time, those of the later in the list.
    3. The overrides, in their order: each changes what those before it have left of the layers.
    4. The layers: of those that have somebody at that moment, the last one alone.
    """

    name: Name
    title: Text = ""
    tz: ZoneName = "UTC"
    layers: Annotated[Sequence[Rotation], Meta(max_length=LAYERS_MAX)] = ()
    overrides: Sequence[Override] = ()
    temporary: Sequence[Temporary] = ()
    recorded: Sequence[Shift] = ()
    recorded_until: Moment | None = None
    """None: nothing is recorded, and the past is computed like the future."""

    def __post_init__(self) -> None:
        """Refuse an unknown time zone."""
        zone_of(self.tz)
        for name in ("layers", "overrides", "temporary", "recorded"):
            msgspec.structs.force_setattr(self, name, tuple(getattr(self, name)))


class OnCall(Struct, frozen=True):
    """Who is on call, and until when these are the same people; None: for over a year."""

    people: tuple[str, ...]
    until: datetime | None


def on_call(schedule: Schedule, at: datetime) -> OnCall:
    """Return who is on call at a moment, and when that changes."""
    shift = next(_shifts(schedule, at, at + SEARCH))
    until = shift.ends_at if shift.ends_at < at + SEARCH else None
    return OnCall(tuple(shift.people), until)


def people_on_call(schedule: Schedule, at: datetime) -> tuple[str, ...]:
    """Return who is on call at a moment; this takes a fraction of the time of `on_call`."""
    return _at(schedule, zone_of(schedule.tz), at)[0]


def shifts(schedule: Schedule, start: datetime, end: datetime) -> list[Shift]:
    """Return who is on call from `start` to `end`, without gaps, also where nobody is.

    Two shifts that follow each other have different people. The first and the last one are cut to
    the range.
    """
    return list(_shifts(schedule, start, end))


def shifts_of(schedule: Schedule, person: str, start: datetime, end: datetime) -> list[Shift]:
    """Return when a person is on call, whoever else is: as shifts of this person alone."""
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
    """Return everybody whom a schedule names, but for what is over."""
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
    """Return the shifts that are to be recorded now, so that all before `until` stays as it was.

    Recording begins where `recorded_until` stands, which is the moment the schedule was made.
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
    """Return every moment at which something that is not a rotation begins or ends."""
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
    """Return who is on call, and until when the rotations keep it so."""
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
    """Return who is on call by the last layer that has somebody, and until when."""
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
