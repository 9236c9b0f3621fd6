"""Turns change at the same time on the clock, in any zone, whatever the clocks do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.oncall.rotation import (
    WEEKDAYS,
    ActiveHours,
    Rotation,
    begun_by,
    duty_at,
    handover,
)
from tests.notifications.oncall.wall_clock_oracle import (
    END,
    START,
    ZONES,
    changes,
    shown,
    watched,
)

PEOPLE = ("ana", "bo", "cy")
CHANGES = [(zone, moment) for zone in ZONES for moment in changes(ZoneInfo(zone))]
LENGTHS = {"hour": (1, 2, 12, 30), "day": (1, 3, 10), "week": (1, 3), "month": (1, 2)}
NIGHT = ActiveHours(start="22:00", end="06:00")
OFFICE = ActiveHours(weekdays=("mon", "tue", "wed", "thu", "fri"), start="09:00", end="17:00")
WEEKEND = ActiveHours(weekdays=("sat", "sun"))


@st.composite
def rotations(draw: st.DrawFn, near: datetime = START) -> Rotation:
    unit = draw(st.sampled_from(list(LENGTHS)))
    start = near.replace(tzinfo=None) - timedelta(minutes=5 * draw(st.integers(-600, 12000)))
    people = draw(st.integers(2, 5))
    return Rotation(
        start=start,
        unit=unit,  # type: ignore[arg-type]
        length=draw(st.sampled_from(LENGTHS[unit])),
        people=[f"p{number}" for number in range(people)],
    )


def weekly(start: str, **more: Any) -> Rotation:
    return Rotation(start=datetime.fromisoformat(start), people=PEOPLE, **more)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_there_are_changes_to_test_with() -> None:
    assert [sum(zone == name for zone, _ in CHANGES) for name in ZONES] == [6, 6, 6, 0]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHANGES), st.data())
def test_the_right_person_at_every_look_around_a_change(
    change: tuple[str, datetime], data: st.DataObject
) -> None:
    zone, moment = ZoneInfo(change[0]), change[1]
    rotation = data.draw(rotations(near=moment))
    start = moment - timedelta(hours=data.draw(st.integers(1, 40)))

    for at, person in watched(rotation, zone, start, moment + timedelta(hours=6)):
        assert duty_at(rotation, at, zone).person == person


@settings(max_examples=60, deadline=None)
@given(rotations(), st.sampled_from(ZONES).map(ZoneInfo))
def test_hand_overs_keep_their_time_on_the_clock_over_three_years(
    rotation: Rotation, zone: ZoneInfo
) -> None:
    number, found = 0, []
    while (moment := handover(rotation, number, zone)) < END and number < 400:
        found.append(moment)
        number += 1

    for moment in found:
        local = shown(moment, zone)
        is_jump = shown(moment - timedelta(seconds=1), zone) < local - timedelta(seconds=1)
        same_hour = rotation.unit == "hour" or local.time() == rotation.start.time()
        assert (local.minute == rotation.start.minute and same_hour) or is_jump
    assert all(a <= b for a, b in pairwise(found))


@settings(max_examples=60, deadline=None)
@given(rotations(), st.sampled_from(ZONES).map(ZoneInfo), st.integers(0, 3 * 365 * 1440))
def test_a_turn_lasts_until_the_next_and_the_next_person_follows(
    rotation: Rotation, zone: ZoneInfo, minute: int
) -> None:
    at = START + timedelta(minutes=minute)
    duty = duty_at(rotation, at, zone)

    assert duty.until
    assert duty.until > at
    assert duty_at(rotation, duty.until - timedelta(microseconds=1), zone) == duty
    following = duty_at(rotation, duty.until, zone).person
    if duty.person is None:
        assert following == rotation.people[0]
    else:
        # Turns of hours that a jump leaves out have no length; nobody is on call by them.
        people = [*rotation.people, *rotation.people]
        skipped = 2 if rotation.unit == "hour" and rotation.length == 1 else 1
        index = rotation.people.index(duty.person)
        assert following in people[index + 1 : index + 1 + skipped]


# The rotation, its zone, a moment and who is on call then.
CASES = {
    "a day in winter": (
        weekly("2026-03-27 08:00", unit="day"), "Europe/Lisbon", "2026-03-28 08:00", "bo",
    ),
    "before the hand-over in summer": (
        weekly("2026-03-27 08:00", unit="day"), "Europe/Lisbon", "2026-03-29 06:59", "bo",
    ),
    "the hand-over in summer is at 8 on the clock": (
        weekly("2026-03-27 08:00", unit="day"), "Europe/Lisbon", "2026-03-29 07:00", "cy",
    ),
    "turns of 12 hours keep 8 and 20 o'clock": (
        weekly("2026-03-28 08:00", unit="hour", length=12),
        "Europe/Lisbon", "2026-03-29 06:59", "bo",
    ),
    "and the next one too": (
        weekly("2026-03-28 08:00", unit="hour", length=12),
        "Europe/Lisbon", "2026-03-29 07:00", "cy",
    ),
    "an hour that is left out is nobody's turn": (
        weekly("2026-03-29 00:00", unit="hour"), "Europe/Lisbon", "2026-03-29 01:00", "cy",
    ),
    "an hour that comes twice is one turn": (
        weekly("2026-10-25 00:00", unit="hour"), "Europe/Lisbon", "2026-10-25 01:59", "bo",
    ),
    "half an hour that comes twice lengthens a turn": (
        weekly("2026-04-05 00:00", unit="hour"), "Australia/Lord_Howe", "2026-04-04 15:29", "bo",
    ),
    "and the next hand-over is at 2 on the clock": (
        weekly("2026-04-05 00:00", unit="hour"), "Australia/Lord_Howe", "2026-04-04 15:30", "cy",
    ),
    "what was handed over stays so when the clocks go back": (
        weekly("2026-10-24 01:30", unit="day"), "Europe/Lisbon", "2026-10-25 01:10", "bo",
    ),
    "before that": (
        weekly("2026-10-24 01:30", unit="day"), "Europe/Lisbon", "2026-10-25 00:29", "ana",
    ),
    "midnight that is left out": (
        weekly("2018-11-03 00:00", unit="day"), "America/Sao_Paulo", "2018-11-04 03:00", "bo",
    ),
    "a month that is too short ends with its last day": (
        weekly("2026-01-31 09:00", unit="month"), "Europe/Lisbon", "2026-02-28 09:00", "bo",
    ),
    "and the months after it keep the day of the start": (
        weekly("2026-01-31 09:00", unit="month"), "Europe/Lisbon", "2026-03-31 07:59", "bo",
    ),
    "before the start": (weekly("2026-01-05 09:00"), "Europe/Lisbon", "2026-01-05 08:59", None),
    "the first week": (weekly("2026-01-05 09:00"), "Europe/Lisbon", "2026-01-05 09:00", "ana"),
    "the fourth week": (weekly("2026-01-05 09:00"), "Europe/Lisbon", "2026-01-26 09:00", "ana"),
    "a quarter of an hour from UTC": (
        weekly("2026-01-05 09:00"), "Asia/Kathmandu", "2026-01-12 03:15", "bo",
    ),
    "outside the office's hours": (
        weekly("2026-01-05 00:00", active=[OFFICE]), "Europe/Lisbon", "2026-07-06 07:59", None,
    ),
    "in the office's hours of summer": (
        weekly("2026-01-05 00:00", active=[OFFICE]), "Europe/Lisbon", "2026-07-06 08:00", "cy",
    ),
    "on a weekend": (
        weekly("2026-01-05 00:00", active=[OFFICE]), "Europe/Lisbon", "2026-01-10 12:00", None,
    ),
    "hours over midnight": (
        weekly("2026-01-05 00:00", active=[NIGHT]), "Europe/Lisbon", "2026-01-07 05:59", "ana",
    ),
    "hours over midnight end": (
        weekly("2026-01-05 00:00", active=[NIGHT]), "Europe/Lisbon", "2026-01-07 06:00", None,
    ),
    "nights and weekends": (
        weekly("2026-01-05 00:00", active=[NIGHT, WEEKEND]),
        "Europe/Lisbon", "2026-01-10 12:00", "ana",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rotation", "zone", "at", "person"), CASES.values(), ids=CASES)
def test_who_has_the_turn(rotation: Rotation, zone: str, at: str, person: str | None) -> None:
    assert duty_at(rotation, utc(at), ZoneInfo(zone)).person == person


@settings(max_examples=60, deadline=None)
@given(rotations(), st.sampled_from(ZONES).map(ZoneInfo), st.data())
def test_a_rotation_that_began_earlier_is_the_same_later(
    rotation: Rotation, zone: ZoneInfo, data: st.DataObject
) -> None:
    by = START - timedelta(days=data.draw(st.integers(0, 400)))
    earlier = begun_by(rotation, by, zone)
    since = handover(rotation, 0, zone)
    at = since + timedelta(minutes=data.draw(st.integers(0, 500_000)))

    assert duty_at(earlier, by, zone).person in rotation.people
    assert duty_at(earlier, at, zone) == duty_at(rotation, at, zone)


def test_a_month_too_short_for_the_start_is_no_earlier_start() -> None:
    zone, rotation = ZoneInfo("UTC"), weekly("2028-02-29 09:00", unit="month", length=12)

    earlier = begun_by(rotation, utc("2027-01-01"), zone)

    assert earlier.start == datetime.fromisoformat("2024-02-29 09:00")
    assert duty_at(earlier, utc("2032-03-01"), zone) == duty_at(rotation, utc("2032-03-01"), zone)


def test_one_person_is_on_call_for_good() -> None:
    rotation = Rotation(start=datetime.fromisoformat("2026-01-05 09:00"), people=["ana"])

    duty = duty_at(rotation, utc("2026-03-01"), ZoneInfo("UTC"))

    assert (duty.person, duty.until) == ("ana", None)


def test_active_hours_that_a_jump_leaves_out_are_passed_over() -> None:
    zone = ZoneInfo("Europe/Lisbon")
    rotation = weekly("2026-01-05 00:00", active=[ActiveHours(start="01:00", end="02:00")])

    duty = duty_at(rotation, utc("2026-03-28 02:00"), zone)

    assert (duty.person, duty.until) == (None, utc("2026-03-29 01:00"))
    assert duty_at(rotation, utc("2026-03-29 01:00"), zone).until == utc("2026-03-29 23:00")


REFUSED = {
    "length": ({"unit": "week", "length": 53}, "length must be from 1 to 52 weeks"),
    "seconds": ({"start": "2026-01-05T09:00:30"}, "start must be a whole minute"),
    "offset": ({"start": "2026-01-05T09:00:00Z"}, "Expected `datetime` with no timezone component"),
    "nobody": ({"people": []}, "Expected `array` of length >= 1"),
    "unit": ({"unit": "year"}, "Invalid enum value 'year'"),
    "weekday": ({"active": [{"weekdays": ["monday"]}]}, "Invalid enum value 'monday'"),
    "clock": ({"active": [{"start": "9:00"}]}, "Expected `str` matching regex"),
    "the end as start": ({"active": [{"start": "24:00"}]}, "start must be from 00:00 to 23:59"),
    "field": ({"persons": ["ana"]}, "unknown field `persons`"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_clock_shows_is_refused(fields: dict[str, Any], message: str) -> None:
    good = {"start": "2026-01-05T09:00:00", "people": ["ana"]}

    assert msgspec.convert(good, Rotation).length == 1
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({**good, **fields}, Rotation)


def test_a_rotation_is_written_and_read_as_json() -> None:
    rotation = weekly("2026-01-05 09:00", active=[OFFICE])

    assert msgspec.json.decode(msgspec.json.encode(rotation), type=Rotation) == rotation


def test_code_too_makes_no_rotation_without_people() -> None:
    with pytest.raises(ValueError, match="people must name at least one person"):
        Rotation(start=datetime.fromisoformat("2026-01-05 09:00"), people=[])


clocks = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")
active_hours = st.builds(
    ActiveHours,
    weekdays=st.lists(st.sampled_from(WEEKDAYS), max_size=7, unique=True),
    start=clocks,
    end=clocks | st.just("24:00"),
)


def is_within(hours: ActiveHours, local: datetime) -> bool:
    """Say whether a time of the clock is within hours, in words of weekdays and times of day."""
    clock = f"{local:%H:%M}"
    today, yesterday = (
        not hours.weekdays or WEEKDAYS[day.weekday()] in hours.weekdays
        for day in (local, local - timedelta(days=1))
    )
    if hours.start < hours.end:
        return today and hours.start <= clock < hours.end
    return (today and clock >= hours.start) or (yesterday and clock < hours.end)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(active_hours, min_size=1, max_size=3),
    st.sampled_from(ZONES).map(ZoneInfo),
    st.integers(0, 3 * 365 * 96),
)
def test_active_hours_are_those_of_the_clock(
    active: list[ActiveHours], zone: ZoneInfo, quarters: int
) -> None:
    at = START + timedelta(minutes=15 * quarters)
    rotation = Rotation(start=datetime.fromisoformat("2016-01-01"), people=["ana"], active=active)
    duty = duty_at(rotation, at, zone)
    local = shown(at, zone)

    offsets = {
        (at + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-48, 24)
    }
    if len(offsets) == 1:
        assert bool(duty.person) == any(is_within(hours, local) for hours in active)
    assert duty.until
    assert duty_at(rotation, duty.until - timedelta(microseconds=1), zone).person == duty.person
