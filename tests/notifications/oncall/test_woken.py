"""Whom the alerts of the past would have woken: counted as someone with a diary would."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.oncall.escalation import notices
from notifications.oncall.rotation import Rotation
from notifications.oncall.schedule import Schedule, Shift, people_on_call
from notifications.oncall.woken import (
    Night,
    PersonCount,
    Transition,
    Woken,
    as_if_always,
    woken,
)
from tests.notifications.oncall.rota import DAILY, SCHEDULES, policy

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
ZONES = {"ana": "Europe/Lisbon", "bo": "Australia/Lord_Howe", "cy": "America/Sao_Paulo"}
ANA_THEN_BO = policy(("person:ana", "10m"), ("person:bo", "10m"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)


def story(*events: str, alert: int = 1) -> list[Transition]:
    """Read `10 03:00 opened` and the like."""
    return [(alert, at(event[:8]), event[9:]) for event in events]


def reported(result: Woken) -> list[tuple[str, str, bool]]:
    return [
        (f"{each.at:%d %H:%M}", each.person, each.night is not None) for each in result.notified
    ]


def run(transitions: list[Transition], **more: Any) -> Woken:
    arguments: dict[str, Any] = {"policy": ANA_THEN_BO, "schedules": SCHEDULES, "zones": ZONES}
    return woken(transitions, **{**arguments, "start": START, "end": END, **more})


ANA, BO = ("10 03:00", "ana", True), ("10 03:10", "bo", False)
STORIES: dict[str, tuple[list[str], list[tuple[str, str, bool]]]] = {
    "nobody answers": (["10 03:00 opened"], [ANA, BO]),
    "resolved in time": (["10 03:00 opened", "10 03:09 resolved"], [ANA]),
    "acknowledged in time": (
        ["10 03:00 opened", "10 03:09 acknowledged", "10 04:00 resolved"], [ANA],
    ),
    "acknowledged, and the acknowledgement expired": (
        ["10 03:00 opened", "10 03:09 acknowledged", "10 05:10 resolved"],
        [ANA, ("10 05:09", "ana", True)],
    ),
    "reopened": (
        ["10 03:00 opened", "10 03:05 acknowledged", "10 03:06 resolved", "10 04:00 reopened"],
        [ANA, ("10 04:00", "ana", True), ("10 04:10", "bo", False)],
    ),
    "held as it opened": (["10 03:00 suppressed", "10 03:00 opened"], []),
    "held, and released": (
        ["10 03:00 opened", "10 03:00 suppressed", "10 03:30 unsuppressed"],
        [("10 03:30", "ana", True), ("10 03:40", "bo", False)],
    ),
    "held later": (["10 03:00 opened", "10 03:05 suppressed"], [ANA]),
    "held, and released after it was resolved": (
        ["10 03:00 opened", "10 03:00 suppressed", "10 03:30 resolved", "10 04:00 unsuppressed"],
        [],
    ),
    "acknowledged while it was held": (
        [
            "10 03:00 opened", "10 03:00 suppressed",
            "10 03:20 acknowledged", "10 03:30 unsuppressed",
        ],
        [("10 05:20", "ana", True), ("10 05:30", "bo", False)],
    ),
    "before the range": (["01 00:00 commented", "09 03:00 commented"], []),
    "a level that rises changes nothing": (["10 03:00 opened", "10 03:05 escalated"], [ANA, BO]),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("order", [1, -1], ids=["", "backwards"])
def test_what_happened_to_an_alert_decides_who_is_told(
    events: list[str], expected: list[tuple[str, str, bool]], order: Literal[1, -1]
) -> None:
    assert reported(run(story(*events)[::order])) == expected


def test_only_what_is_due_in_the_range_counts() -> None:
    transitions = story("10 03:00 opened")

    assert reported(run(transitions, start=at("10 03:00"), end=at("10 03:10"))) == [ANA]
    assert reported(run(transitions, start=at("10 03:01"), end=at("10 03:11"))) == [BO]


NIGHTS = {
    "evening": ("10 22:00", date(2026, 3, 10)),
    "just before": ("10 21:59", None),
    "after midnight": ("11 00:30", date(2026, 3, 10)),
    "before the morning": ("11 06:59", date(2026, 3, 10)),
    "morning": ("11 07:00", None),
    "summer time: 22:30 by the clock": ("29 21:30", date(2026, 3, 29)),
    "summer time: 07:30 by the clock": ("30 06:30", None),
}


@pytest.mark.parametrize(("moment", "night"), NIGHTS.values(), ids=NIGHTS)
def test_night_is_by_the_clock_of_the_person(moment: str, night: date | None) -> None:
    result = run(story(f"{moment} opened"), end=at(moment) + timedelta(minutes=1))

    assert [each.night for each in result.notified] == [night]


def test_other_hours_can_be_night_and_a_person_without_a_zone_lives_in_utc() -> None:
    transitions = story("10 13:00 opened")

    assert reported(run(transitions, night=Night(start="12:00", end="14:00"))) == [
        ("10 13:00", "ana", True),
        ("10 13:10", "bo", False),
    ]
    assert reported(run(transitions, night=Night(start="12:00", end="14:00"), zones={})) == [
        ("10 13:00", "ana", True),
        ("10 13:10", "bo", True),
    ]


def test_people_are_counted_and_who_is_woken_most_comes_first() -> None:
    transitions = [
        *story("10 12:05 opened", alert=1),
        *story("10 23:00 opened", "10 23:01 resolved", alert=2),
        *story("11 04:00 opened", alert=3),
        *story("12 11:30 opened", alert=4),
    ]

    # It is night at Lord Howe from 11:00 to 20:00 in UTC.
    assert run(transitions).people == [
        PersonCount(person="ana", notified=4, alerts=4, at_night=2, nights=1),
        PersonCount(person="bo", notified=3, alerts=3, at_night=2, nights=2),
    ]


def test_steps_without_anybody_on_call_are_named() -> None:
    steps = policy(("schedule:office", "10m"), ("schedule:office schedule:daily", "10m"))
    result = run(story("30 03:00 opened", "30 07:00 resolved"), policy=steps)

    assert [(each.at, each.alert, each.number, each.schedules) for each in result.unreached] == [
        (at("30 03:00"), 1, 1, ("office",)),
        (at("30 03:00"), 1, 2, ("office",)),
    ]
    assert reported(result) == [("30 03:00", "ana", True)]


def test_another_policy_on_the_same_past_wakes_others() -> None:
    transitions = [
        row
        for day in range(24, 31)
        for row in story(f"{day} 02:00 opened", f"{day} 02:30 resolved", alert=day)
    ]

    now = run(transitions, policy=policy(("person:ana", "5m")))
    changed = run(transitions, policy=policy(("schedule:daily", "15m"), ("person:ana", "15m")))

    assert {count.person: count.at_night for count in now.people} == {"ana": 7}
    told_to = {count.person: count.notified for count in changed.people}
    assert told_to == {"ana": 3 + 7, "bo": 2, "cy": 2}


moments = st.integers(0, 30 * 1440).map(lambda minute: START + timedelta(minutes=minute))
histories = st.lists(
    st.tuples(
        st.integers(1, 5),
        moments,
        st.sampled_from(
            ["opened", "acknowledged", "resolved", "reopened", "suppressed", "unsuppressed"]
        ),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(histories, moments)
def test_counts_add_up_and_ranges_join(history: list[Transition], middle: datetime) -> None:
    steps = policy(("schedule:daily person:ana", "30m"), ("person:bo", "90m"), repeat=1)
    whole = run(history, policy=steps)
    parts = [
        run(history, policy=steps, start=a, end=b) for a, b in [(START, middle), (middle, END)]
    ]

    assert parts[0].notified + parts[1].notified == whole.notified
    assert parts[0].unreached + parts[1].unreached == whole.unreached
    per_person = Counter(each.person for each in whole.notified)
    assert {count.person: count.notified for count in whole.people} == per_person
    for count in whole.people:
        assert count.nights <= count.at_night <= count.notified
        assert count.alerts <= count.notified


@given(st.integers(0, 30 * 1440))
def test_an_alert_that_only_opened_is_as_the_policy_says(minute: int) -> None:
    opened = START + timedelta(minutes=minute)
    steps = policy(("schedule:daily", "30m"), ("person:bo", "90m"), repeat=1)

    expected = [
        (notice.step.at, person)
        for notice in notices(steps, SCHEDULES, opened_at=opened, until=END)
        for person in notice.recipients.people
        if notice.step.at < END
    ]
    result = run([(1, opened, "opened")], policy=steps)

    assert [(each.at, each.person) for each in result.notified] == expected


def test_a_changed_schedule_is_tried_on_a_past_before_its_start_and_beside_the_records() -> None:
    recorded = Shift(starts_at=START, ends_at=END, people=["eva"])
    new = Schedule(
        name="daily",
        tz="Europe/Lisbon",
        layers=[
            Rotation(start=datetime.fromisoformat("2026-04-06 09:00"), people=["ana", "bo", "cy"])
        ],
        recorded=[recorded],
        recorded_until=END,
    )
    tried = as_if_always(new, START)

    mondays = [at(f"{day} 12:00") for day in ("02", "09", "16", "23", "30")]
    people = [person for monday in mondays for person in people_on_call(tried, monday)]
    assert people == ["bo", "cy", "ana", "bo", "cy"]
    later = datetime(2026, 6, 3, tzinfo=UTC)
    assert people_on_call(tried, later) == people_on_call(new, later)
    assert people_on_call(new, at("09 12:00")) == ("eva",)
    assert as_if_always(DAILY, END) == msgspec.structs.replace(DAILY)
