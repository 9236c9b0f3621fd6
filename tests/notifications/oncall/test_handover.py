"""Everybody who comes on call or leaves is told of it, once."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.oncall.handover import handovers
from notifications.oncall.rotation import Rotation
from notifications.oncall.schedule import Override, Schedule, people_on_call

ONE_DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SCHEDULE = Schedule(
    name="ops",
    tz="Europe/Lisbon",
    layers=[
        Rotation(start=datetime.fromisoformat("2026-03-27 09:00"), unit="day", people=["ana", "bo"])
    ],
    overrides=[
        Override(starts_at=utc("2026-03-28 12:00"), ends_at=utc("2026-03-28 14:00"), out="bo"),
        Override(starts_at=utc("2026-03-30 12:00"), ends_at=utc("2026-03-30 14:00"), in_="cy"),
    ],
)


def test_each_change_names_who_leaves_who_arrives_and_until_when() -> None:
    found = handovers(SCHEDULE, utc("2026-03-28 09:00"), utc("2026-03-30 12:00"))

    assert [(h.at, h.leaving, h.arriving, h.people, h.until) for h in found] == [
        (utc("2026-03-28 12:00"), ("bo",), (), (), utc("2026-03-28 14:00")),
        (utc("2026-03-28 14:00"), (), ("bo",), ("bo",), utc("2026-03-29 08:00")),
        (utc("2026-03-29 08:00"), ("bo",), ("ana",), ("ana",), utc("2026-03-30 08:00")),
        (utc("2026-03-30 08:00"), ("ana",), ("bo",), ("bo",), utc("2026-03-30 12:00")),
        (utc("2026-03-30 12:00"), (), ("cy",), ("bo", "cy"), utc("2026-03-30 14:00")),
    ]
    assert {h.schedule for h in found} == {"ops"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6 * 1440), min_size=2, max_size=30, unique=True).map(sorted))
def test_calls_one_after_the_other_return_each_change_once(minutes: list[int]) -> None:
    moments = [utc("2026-03-27 12:00") + timedelta(minutes=number) for number in minutes]
    whole = handovers(SCHEDULE, moments[0], moments[-1])

    parts = [h for a, b in pairwise(moments) for h in handovers(SCHEDULE, a, b)]

    assert parts == whole
    for change in whole:
        before = people_on_call(SCHEDULE, change.at - timedelta(microseconds=1))
        after = people_on_call(SCHEDULE, change.at)
        assert set(before) - set(change.leaving) | set(change.arriving) == set(after)


def test_without_a_change_nobody_is_told() -> None:
    assert handovers(SCHEDULE, utc("2026-03-28 15:00"), utc("2026-03-29 07:59")) == []
    assert handovers(Schedule(name="empty"), utc("2026-03-28"), utc("2026-03-29")) == []
