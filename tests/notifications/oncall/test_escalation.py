"""An alert reaches the right people at the right minute, until one of them answers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.oncall.escalation import (
    DueStep,
    Notice,
    Policy,
    Recipients,
    Step,
    due_steps,
    notices,
    progress,
    recipients,
)
from tests.notifications.oncall.rota import MINUTE, OPENED, SCHEDULES, after, policy

THREE = policy(("person:ana", "5m"), ("person:bo", "10m"), ("channel:room", "15m"), repeat=1)


Taken = list[tuple[float, str, str]]


def taken(found: Sequence[DueStep]) -> Taken:
    return [((each.at - OPENED) / MINUTE, each.key, each.reason) for each in found]


FIRST_ROUND: Taken = [
    (0, "0.1.1", "opened"),
    (5, "0.1.2", "next_step"),
    (15, "0.1.3", "next_step"),
]
SECOND_ROUND: Taken = [
    (30, "0.2.1", "repeat"),
    (35, "0.2.2", "next_step"),
    (45, "0.2.3", "next_step"),
]
# What happens to the alert, in minutes after it opened; until when; the steps it takes.
LIVES: Mapping[str, tuple[dict[str, Any], float, Taken]] = {
    "nobody answers": ({}, 10_000, FIRST_ROUND + SECOND_ROUND),
    "only what is due": ({}, 15, FIRST_ROUND),
    "a second before the next step": ({}, 14.99, FIRST_ROUND[:2]),
    "before it opened": ({}, -1, []),
    "it is resolved": ({"resolved": 31}, 10_000, FIRST_ROUND + SECOND_ROUND[:1]),
    "it is resolved when a step is due": ({"resolved": 15}, 10_000, FIRST_ROUND[:2]),
    "it is resolved as it opens": ({"resolved": 0}, 10_000, []),
    "it is acknowledged when a step is due": (
        {"acks": [5], "resolved": 60}, 10_000, FIRST_ROUND[:1],
    ),
    "an acknowledgement expires": (
        {"acks": [7]}, 10_000,
        [
            *FIRST_ROUND[:2],
            (127, "1.1.2", "acknowledgement_expired"),
            (137, "1.1.3", "next_step"),
            (152, "1.2.1", "repeat"),
            (157, "1.2.2", "next_step"),
            (167, "1.2.3", "next_step"),
        ],
    ),
    "an acknowledgement expires after the last step": (
        {"acks": [50]}, 10_000,
        [*FIRST_ROUND, *SECOND_ROUND, (170, "1.2.3", "acknowledgement_expired")],
    ),
    "it is resolved before the acknowledgement expires": (
        {"acks": [7], "resolved": 127}, 10_000, FIRST_ROUND[:2],
    ),
    "it is acknowledged as it opens": (
        {"acks": [0]}, 125,
        [(120, "1.1.1", "acknowledgement_expired"), (125, "1.1.2", "next_step")],
    ),
    "it is acknowledged once more, in time": (
        {"acks": [7, 100]}, 220, [*FIRST_ROUND[:2], (220, "1.1.2", "acknowledgement_expired")],
    ),
    "it is acknowledged again after that": (
        {"acks": [7, 130]}, 250,
        [
            *FIRST_ROUND[:2],
            (127, "1.1.2", "acknowledgement_expired"),
            (250, "2.1.2", "acknowledgement_expired"),
        ],
    ),
    "an acknowledgement lasts for ten minutes": (
        {"acks": [6], "expires_s": 600}, 30,
        [*FIRST_ROUND[:2], (16, "1.1.2", "acknowledgement_expired"), (26, "1.1.3", "next_step")],
    ),
    "an acknowledgement never expires": ({"acks": [7], "expires_s": 0}, 10_000, FIRST_ROUND[:2]),
    "an acknowledgement from before it is told again": (
        {"acks": [-60]}, 65, [(60, "0.1.1", "acknowledgement_expired"), (65, "0.1.2", "next_step")],
    ),
    "an acknowledgement that expired before": ({"acks": [-600]}, 5, FIRST_ROUND[:2]),
}  # fmt: skip


def transitions_of(policy: Policy, life: Mapping[str, Any], until: datetime) -> list[DueStep]:
    return due_steps(
        policy,
        opened_at=OPENED,
        acknowledged_at=[after(minutes) for minutes in life.get("acks", ())],
        ack_expires_s=life.get("expires_s", 7200),
        resolved_at=after(life["resolved"]) if "resolved" in life else None,
        until=until,
    )


@pytest.mark.parametrize(("life", "until", "expected"), LIVES.values(), ids=LIVES)
def test_the_life_of_an_alert(life: dict[str, Any], until: float, expected: Taken) -> None:
    assert taken(transitions_of(THREE, life, after(until))) == expected


@pytest.mark.parametrize(
    ("until", "next_at"), [(-1, 0), (0, 5), (14.9, 15), (15, 30), (45, None), (10_000, None)]
)
def test_the_progress_says_when_the_next_step_is_due(until: float, next_at: float | None) -> None:
    found = progress(THREE, opened_at=OPENED, until=after(until), reaches=lambda _step, _at: True)

    assert list(found.due) == transitions_of(THREE, {}, after(until))
    assert found.next_at == (None if next_at is None else after(next_at))


def test_the_progress_of_an_acknowledged_alert_goes_on_when_that_expires_by_the_policy() -> None:
    short = msgspec.structs.replace(THREE, acknowledgement_expires="10m")
    found = progress(
        short,
        opened_at=OPENED,
        acknowledged_at=[after(6)],
        until=after(12),
        reaches=lambda _step, _at: True,
    )

    assert taken(found.due) == FIRST_ROUND[:2]
    assert found.next_at == after(16)


lives = st.fixed_dictionaries(
    {"acks": st.lists(st.integers(0, 600), max_size=4)},
    optional={"resolved": st.integers(0, 900), "expires_s": st.sampled_from([0, 600, 7200])},
)
policies = st.builds(
    policy,
    st.tuples(st.just("person:ana"), st.sampled_from(["1m", "5m", "2h"])),
    st.tuples(st.just("person:bo"), st.sampled_from(["1m", "30m"])),
    repeat=st.integers(0, 3),
)


@settings(deadline=None)
@given(policies, lives)
def test_no_two_steps_have_the_same_key_and_each_follows_the_one_before(
    policy: Policy, life: dict[str, Any]
) -> None:
    found = transitions_of(policy, life, after(5000))

    assert len({each.key for each in found}) == len(found)
    assert [each.at for each in found] == sorted(each.at for each in found)
    for each in found:
        assert "resolved" not in life or each.at < after(life["resolved"])
        expires_s = life.get("expires_s", 7200)
        for ack in life["acks"]:
            held_for = timedelta(seconds=expires_s) if expires_s else timedelta(days=9)
            assert not after(ack) <= each.at < after(ack) + held_for


@settings(deadline=None)
@given(policies, lives, st.lists(st.integers(0, 3000), min_size=1, max_size=8).map(sorted))
def test_whenever_one_looks_and_stops_looking_the_same_steps_are_taken(
    policy: Policy, life: dict[str, Any], looks: list[int]
) -> None:
    """Each look knows only what has happened by then, and what was taken; a pause loses nothing."""
    sent: dict[str, DueStep] = {}
    for minute in looks:
        known = {
            **life,
            "acks": [ack for ack in life["acks"] if ack <= minute],
            **({"resolved": life["resolved"]} if life.get("resolved", 9999) <= minute else {}),
        }
        if life.get("resolved", 0) > minute:
            known.pop("resolved")
        for step in transitions_of(policy, known, after(minute)):
            sent.setdefault(step.key, step)

    assert list(sent.values()) == transitions_of(policy, life, after(looks[-1]))


OFFICE_OPEN = after(7 * 60)
"""A Friday at 10: by the schedule `office` the lead is on call; at `OPENED`, 3 o'clock, nobody."""


def test_each_person_and_channel_is_reached_once() -> None:
    names = "person:bo schedule:daily channel:room schedule:office person:ana channel:room"
    step = policy((names, "5m")).steps[0]

    assert recipients(step, OFFICE_OPEN, SCHEDULES) == Recipients(
        people=("bo", "lead", "ana"), channels=("room",), nobody_on_call=()
    )


def test_a_schedule_with_nobody_on_call_is_reported() -> None:
    step = policy(("schedule:office schedule:gone person:ana schedule:gone", "5m")).steps[0]
    found = recipients(step, OPENED, SCHEDULES)

    assert found == Recipients(people=("ana",), channels=(), nobody_on_call=("office", "gone"))
    assert found.reach_anyone


def minutes_of(
    found: Sequence[Notice],
) -> list[tuple[float, int, tuple[str, ...], tuple[str, ...]]]:
    return [
        (
            (each.step.at - OPENED) / MINUTE,
            each.step.number,
            each.recipients.people,
            each.recipients.nobody_on_call,
        )
        for each in found
    ]


def test_after_a_step_that_reaches_nobody_the_next_follows_at_once() -> None:
    steps = policy(
        ("person:ana", "5m"), ("schedule:office", "30m"), ("channel:room", "10m"), repeat=1
    )

    found = notices(steps, SCHEDULES, opened_at=OPENED, until=after(20))

    assert minutes_of(found) == [
        (0, 1, ("ana",), ()),
        (5, 2, (), ("office",)),
        (5, 3, (), ()),
        (15, 1, ("ana",), ()),
        (20, 2, (), ("office",)),
        (20, 3, (), ()),
    ]
    assert found[2].recipients.channels == ("room",)
    assert len({each.step.key for each in found}) == 6


def test_a_policy_that_reaches_nobody_reports_each_round_once() -> None:
    steps = policy(("schedule:office", "5m"), ("schedule:gone", "10m"), repeat=1)

    found = notices(steps, SCHEDULES, opened_at=OPENED, until=after(1000))

    assert minutes_of(found) == [
        (0, 1, (), ("office",)),
        (0, 2, (), ("gone",)),
        (10, 1, (), ("office",)),
        (10, 2, (), ("gone",)),
    ]


def test_a_step_reaches_who_is_on_call_when_it_is_due() -> None:
    steps = policy(("schedule:daily", "360m"), repeat=1)

    found = notices(steps, SCHEDULES, opened_at=after(5 * 60), until=after(1000))

    assert minutes_of(found) == [(300, 1, ("ana",), ()), (660, 1, ("bo",), ())]


GOOD: dict[str, Any] = {
    "name": "p",
    "steps": [{"targets": [{"kind": "person", "name": "ana"}], "delay": "15m"}],
}
REFUSED = {
    "no steps": ({"steps": []}, "Expected `array` of length >= 1"),
    "no targets": ({"steps": [{"targets": []}]}, "Expected `array` of length >= 1"),
    "kind": (
        {"steps": [{"targets": [{"kind": "team", "name": "ops"}]}]},
        "Invalid enum value 'team'",
    ),
    "short delay": (
        {"steps": [GOOD["steps"][0] | {"delay": "59s"}]},
        "delay must be from 1m to 7d",
    ),
    "long delay": ({"steps": [GOOD["steps"][0] | {"delay": "8d"}]}, "delay must be from 1m to 7d"),
    "repeat": ({"repeat": 101}, "Expected `int` <= 100"),
}


@pytest.mark.parametrize(("fields", "message"), REFUSED.values(), ids=REFUSED)
def test_a_policy_that_cannot_work_is_refused(fields: dict[str, Any], message: str) -> None:
    assert msgspec.convert(GOOD, Policy).repeat == 0
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({**GOOD, **fields}, Policy)


@given(policies)
def test_a_policy_is_written_and_read_as_json(policy: Policy) -> None:
    assert msgspec.json.decode(msgspec.json.encode(policy), type=Policy) == policy


def test_code_too_makes_no_policy_without_steps_or_targets() -> None:
    with pytest.raises(ValueError, match="steps must hold at least one step"):
        Policy(name="p", steps=[])
    with pytest.raises(ValueError, match="targets must name at least one person"):
        Step(targets=[])
