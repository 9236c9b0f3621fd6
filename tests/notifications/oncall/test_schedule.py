"""Who is on call: one answer at each moment, from the strongest thing that says so."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.oncall.rotation import ActiveHours, Rotation, duty_at
from notifications.oncall.schedule import (
    OnCall,
    Override,
    Schedule,
    Shift,
    Temporary,
    on_call,
    people_on_call,
    shifts,
    shifts_of,
    to_record,
)
from tests.notifications.oncall.wall_clock_oracle import END, START, ZONES, shown

MINUTE = timedelta(minutes=1)
DAYS = (END - START).days
PEOPLE = ("ana", "bo", "cy", "dora")
names = st.sampled_from(PEOPLE)
zones = st.sampled_from(ZONES)
minutes = st.integers(0, DAYS * 1440 - 1)
moments = minutes.map(lambda number: START + number * MINUTE)
offices = st.builds(
    ActiveHours,
    weekdays=st.sets(st.sampled_from(["mon", "tue", "sat", "sun"])).map(tuple),
    start=st.sampled_from(["00:00", "01:30", "09:00", "22:00"]),
    end=st.sampled_from(["24:00", "06:00", "02:15"]),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rotation(*people: str, start: str = "2026-01-05 09:00", **more: Any) -> Rotation:
    return Rotation(start=datetime.fromisoformat(start), people=people, **more)


@st.composite
def rotations(draw: st.DrawFn, *, limited: bool = True) -> Rotation:
    unit, longest = draw(st.sampled_from([("hour", 80), ("day", 9), ("week", 3), ("month", 2)]))
    return Rotation(
        start=START.replace(tzinfo=None) - 15 * MINUTE * draw(st.integers(100, 5000)),
        unit=unit,  # type: ignore[arg-type]
        length=draw(st.integers(8 if unit == "hour" else 1, longest)),
        people=draw(st.lists(names, min_size=1, max_size=4)),
        active=draw(st.lists(offices, max_size=2)) if limited else (),
    )


@st.composite
def spans(draw: st.DrawFn) -> tuple[datetime, datetime]:
    start = draw(moments)
    return start, start + draw(st.integers(1, 20_000)) * MINUTE


@st.composite
def some_shifts(draw: st.DrawFn) -> Shift:
    start, end = draw(spans())
    return Shift(starts_at=start, ends_at=end, people=draw(st.lists(names, max_size=3)))


@st.composite
def overrides(draw: st.DrawFn) -> Override:
    start, end = draw(spans())
    out, in_ = draw(
        st.tuples(st.none() | names, st.none() | names).filter(lambda pair: pair[0] != pair[1])
    )
    return Override(starts_at=start, ends_at=end, out=out, in_=in_)


@st.composite
def temporaries(draw: st.DrawFn) -> Temporary:
    shift, more = draw(some_shifts()), draw(st.integers(0, 3000)) * MINUTE
    return Temporary(starts_at=shift.starts_at - more, ends_at=shift.ends_at + more, shifts=[shift])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    recorded = draw(st.lists(some_shifts(), max_size=3))
    return Schedule(
        name="s",
        tz=draw(zones),
        layers=draw(st.lists(rotations(), max_size=3)),
        overrides=draw(st.lists(overrides(), max_size=4)),
        temporary=draw(st.lists(temporaries(), max_size=2)),
        recorded=recorded,
        recorded_until=draw(moments) if recorded else None,
    )


def expected(schedule: Schedule, at: datetime) -> set[str]:
    """Say who is on call in the words of the documentation, one source after the other."""
    if schedule.recorded_until and at < schedule.recorded_until:
        return {p for s in schedule.recorded if s.starts_at <= at < s.ends_at for p in s.people}
    exceptions = [t for t in schedule.temporary if t.starts_at <= at < t.ends_at]
    if exceptions:
        return {p for s in exceptions[-1].shifts if s.starts_at <= at < s.ends_at for p in s.people}
    turns = [duty_at(layer, at, ZoneInfo(schedule.tz)).person for layer in schedule.layers]
    people = {duty for duty in turns if duty and duty == [t for t in turns if t][-1]}
    for override in schedule.overrides:
        is_now = override.starts_at <= at < override.ends_at
        if is_now and (override.out in people or override.out is None):
            people |= {override.in_} if override.in_ else set()
            people -= {override.out} if override.out else set()
    return people


@settings(max_examples=40, deadline=None)
@given(rotations(limited=False), zones)
def test_three_years_have_no_gap_and_no_overlap(layer: Rotation, tz: str) -> None:
    found = shifts(Schedule(name="s", tz=tz, layers=[layer]), START, END)

    assert (found[0].starts_at, found[-1].ends_at) == (START, END)
    assert all(a.ends_at == b.starts_at and a.people != b.people for a, b in pairwise(found))
    assert all(len(shift.people) == 1 and shift.starts_at < shift.ends_at for shift in found)


@settings(max_examples=30, deadline=None)
@given(rotations(limited=False), zones)
def test_shifts_begin_at_the_hour_of_the_start_or_when_the_clocks_jump(
    layer: Rotation, tz: str
) -> None:
    zone = ZoneInfo(tz)
    for shift in shifts(Schedule(name="s", tz=tz, layers=[layer]), START, END)[1:]:
        local = shown(shift.starts_at, zone)
        if layer.unit == "hour":
            local = layer.start + (local - layer.start) % timedelta(hours=layer.length)
        is_jump = shown(shift.starts_at - MINUTE, zone) + MINUTE != shown(shift.starts_at, zone)
        assert local.time() == layer.start.time() or is_jump


@settings(max_examples=40, deadline=None)
@given(schedules(), st.lists(minutes, min_size=5, max_size=5), st.integers(1, 60 * 24 * 60))
def test_each_sampled_minute_is_as_the_shifts_say_and_as_the_words_say(
    schedule: Schedule, samples: list[int], length: int
) -> None:
    start = START + samples[0] * MINUTE
    end = start + length * MINUTE
    found = shifts(schedule, start, end)

    assert (found[0].starts_at, found[-1].ends_at) == (start, end)
    assert all(a.ends_at == b.starts_at and a.people != b.people for a, b in pairwise(found))
    for at in (start + sample % length * MINUTE for sample in samples):
        [shift] = [shift for shift in found if shift.starts_at <= at < shift.ends_at]
        answer = on_call(schedule, at)
        assert set(shift.people) == set(answer.people) == expected(schedule, at)
        assert people_on_call(schedule, at) == answer.people
        if shift.ends_at < end:
            assert answer.until == shift.ends_at
        else:
            assert answer.until is None or answer.until >= end


@settings(max_examples=40, deadline=None)
@given(schedules(), moments, names)
def test_the_shifts_of_a_person_are_when_the_person_is_on_call(
    schedule: Schedule, start: datetime, person: str
) -> None:
    end = start + timedelta(days=30)
    own = shifts_of(schedule, person, start, end)

    assert all(a.ends_at < b.starts_at for a, b in pairwise(own))
    for shift in shifts(schedule, start, end):
        covering = [s for s in own if s.starts_at <= shift.starts_at and shift.ends_at <= s.ends_at]
        assert bool(covering) == (person in shift.people)


@settings(max_examples=40, deadline=None)
@given(schedules(), moments, st.lists(st.integers(1, 20_000), min_size=1, max_size=4))
def test_what_was_recorded_stays_whatever_is_changed(
    schedule: Schedule, since: datetime, waits: list[int]
) -> None:
    schedule = msgspec.structs.replace(schedule, recorded=[], recorded_until=since)
    kept = schedule
    for wait in waits:
        until = cast("datetime", kept.recorded_until) + wait * MINUTE
        recorded = [*kept.recorded, *to_record(kept, until)]
        kept = msgspec.structs.replace(kept, recorded=recorded, recorded_until=until)
    changed = msgspec.structs.replace(kept, layers=[], overrides=[], temporary=[])
    end = until + timedelta(days=3)

    assert shifts(changed, since, until) == shifts(kept, since, until)
    assert shifts(kept, since, end) == shifts(
        msgspec.structs.replace(schedule, recorded_until=None), since, end
    )
    assert people_on_call(changed, until) == ()


def test_nothing_is_recorded_before_there_is_a_beginning() -> None:
    assert to_record(week(), utc("2026-01-06")) == []


def week(**more: Any) -> Schedule:
    return Schedule(
        name="s", tz="Europe/Lisbon", layers=[rotation("ana", "bo", unit="day")], **more
    )


def took(out: str | None, in_: str | None, start: str = "06 12", end: str = "06 18") -> Override:
    return Override(
        starts_at=utc(f"2026-01-{start}:00"), ends_at=utc(f"2026-01-{end}:00"), out=out, in_=in_
    )


def shift(start: str, end: str, *people: str) -> Shift:
    return Shift(
        starts_at=utc(f"2026-01-{start}:00"), ends_at=utc(f"2026-01-{end}:00"), people=people
    )


def temporary(start: str, end: str, *shifts: Shift) -> Temporary:
    return Temporary(
        starts_at=utc(f"2026-01-{start}:00"), ends_at=utc(f"2026-01-{end}:00"), shifts=shifts
    )


ABSENCE = temporary("06 12", "06 18", shift("06 12", "06 15", "cy", "dora"))
"""For three hours two people, then for three hours nobody."""
RECORDS = {"recorded": [shift("06 09", "06 14", "eva")], "recorded_until": utc("2026-01-06 16:00")}

# On the 6th of January bo has the turn from 9 to 9. The schedule; a time of that day; who; until.
ORDER = {
    "a rotation": (week(), "06 13", ["bo"], "07 09"),
    "somebody takes the shift": (week(overrides=[took("bo", "cy")]), "06 13", ["cy"], "06 18"),
    "until an override begins": (week(overrides=[took("bo", "cy")]), "06 11", ["bo"], "06 12"),
    "the end is no part of it": (week(overrides=[took("bo", "cy")]), "06 18", ["bo"], "07 09"),
    "the one to replace is not on call": (
        week(overrides=[took("ana", "cy")]), "06 13", ["bo"], "07 09",
    ),
    "somebody comes along": (week(overrides=[took(None, "cy")]), "06 13", ["bo", "cy"], "06 18"),
    "somebody leaves": (week(overrides=[took("bo", None)]), "06 13", [], "06 18"),
    "a shift that was taken is taken again": (
        week(overrides=[took("bo", "cy"), took("cy", "dora")]), "06 13", ["dora"], "06 18",
    ),
    "the order of overrides counts": (
        week(overrides=[took("cy", "dora"), took("bo", "cy")]), "06 13", ["cy"], "06 18",
    ),
    "an override over a hand-over follows the person": (
        week(overrides=[took("bo", "cy", "06 12", "08 12")]), "07 10", ["ana"], "08 09",
    ),
    "a temporary schedule has two people": (
        week(temporary=[ABSENCE]), "06 13", ["cy", "dora"], "06 15",
    ),
    "a temporary schedule has nobody": (week(temporary=[ABSENCE]), "06 16", [], "06 18"),
    "a temporary schedule is stronger than an override": (
        week(temporary=[ABSENCE], overrides=[took("bo", "ana"), took(None, "eva")]),
        "06 13", ["cy", "dora"], "06 15",
    ),
    "the later of two temporary schedules": (
        week(temporary=[ABSENCE, temporary("06 13", "06 14", shift("06 13", "06 14", "fia"))]),
        "06 13", ["fia"], "06 14",
    ),
    "what was recorded is stronger than all": (
        week(temporary=[ABSENCE], overrides=[took("bo", "ana")], **RECORDS),
        "06 13", ["eva"], "06 14",
    ),
    "nobody was recorded": (week(overrides=[took("bo", "ana")], **RECORDS), "06 14", [], "06 16"),
    "after what was recorded": (
        week(overrides=[took("bo", "ana")], **RECORDS), "06 16", ["ana"], "06 18",
    ),
    "the last layer": (
        Schedule(name="s", layers=[rotation("ana"), rotation("bo")]), "06 13", ["bo"], None,
    ),
    "the last layer that has somebody": (
        Schedule(
            name="s",
            layers=[rotation("ana"), rotation("bo", active=[ActiveHours(start="14:00")])],
        ),
        "06 13", ["ana"], "06 14",
    ),
    "a layer that begins later": (
        Schedule(name="s", layers=[rotation("ana"), rotation("bo", start="2026-01-06 20:00")]),
        "06 13", ["ana"], "06 20",
    ),
    "no layers": (Schedule(name="s"), "06 13", [], None),
}  # fmt: skip


@pytest.mark.parametrize(("schedule", "at", "people", "until"), ORDER.values(), ids=ORDER)
def test_the_stronger_wins(
    schedule: Schedule, at: str, people: list[str], until: str | None
) -> None:
    answer = on_call(schedule, utc(f"2026-01-{at}:00"))

    assert answer == OnCall(tuple(people), utc(f"2026-01-{until}:00") if until else None)


def test_the_same_person_again_is_no_change() -> None:
    schedule = Schedule(name="s", layers=[rotation("ana", "ana", "bo", unit="day")])

    found = shifts(schedule, utc("2026-01-05 12:00"), utc("2026-01-09 12:00"))

    assert [(s.people, s.ends_at) for s in found] == [
        (("ana",), utc("2026-01-07 09:00")),
        (("bo",), utc("2026-01-08 09:00")),
        (("ana",), utc("2026-01-09 12:00")),
    ]


def test_a_shift_of_a_person_goes_on_when_others_come_along() -> None:
    schedule = week(overrides=[took(None, "cy")])
    start, end = utc("2026-01-06 10:00"), utc("2026-01-07 10:00")

    assert [(s.starts_at, s.ends_at) for s in shifts_of(schedule, "bo", start, end)] == [
        (start, utc("2026-01-07 09:00"))
    ]
    assert shifts_of(schedule, "cy", start, end) == [shift("06 12", "06 18", "cy")]


def test_an_empty_range_has_no_shifts() -> None:
    assert shifts(week(), utc("2026-01-05"), utc("2026-01-05")) == []


REFUSED = {
    "zone": ({"tz": "Lisbon"}, "tz 'Lisbon' is not a time zone; write one such as Europe/Lisbon"),
    "override of nobody": (
        {"overrides": [{"starts_at": "2026-01-06T00:00:00Z", "ends_at": "2026-01-07T00:00:00Z"}]},
        "an override needs out, in, or both, and two different people",
    ),
    "override by oneself": (
        {
            "overrides": [
                {
                    "starts_at": "2026-01-06T00:00:00Z",
                    "ends_at": "2026-01-07T00:00:00Z",
                    "out": "ana",
                    "in": "ana",
                }
            ]
        },
        "two different people",
    ),
    "end before start": (
        {
            "overrides": [
                {
                    "starts_at": "2026-01-07T00:00:00Z",
                    "ends_at": "2026-01-07T00:00:00Z",
                    "in": "ana",
                }
            ]
        },
        "ends_at must be after starts_at",
    ),
    "no offset": (
        {"recorded_until": "2026-01-07T00:00:00"},
        "Expected `datetime` with a timezone component",
    ),
    "shift outside": (
        {
            "temporary": [
                {
                    "starts_at": "2026-01-06T00:00:00Z",
                    "ends_at": "2026-01-07T00:00:00Z",
                    "shifts": [
                        {
                            "starts_at": "2026-01-06T00:00:00Z",
                            "ends_at": "2026-01-07T01:00:00Z",
                            "people": ["ana"],
                        }
                    ],
                }
            ]
        },
        "each shift must lie between starts_at and ends_at",
    ),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"name": "s", **fields}, Schedule)


@settings(max_examples=20, deadline=None)
@given(schedules())
def test_a_schedule_is_written_and_read_as_json(schedule: Schedule) -> None:
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule
