"""When a group is sent and what its message lists, as in Alertmanager."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.routing.groups import (
    Flush,
    Member,
    Timing,
    first_flush,
    flush,
    following_tick,
    next_flush,
    tick,
)

START = datetime(2026, 3, 27, 3, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIMING = Timing(wait=30 * SECOND, interval=300 * SECOND, repeat=3600 * SECOND)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def member(alert_id: int, *waiting: str, **states: Any) -> Member:
    known = {"is_sent": False, "is_resolved": False, "is_acknowledged": False}
    return Member(alert_id=alert_id, waiting=waiting, **{"is_suppressed": False, **known, **states})


def test_the_first_message_waits_for_other_alerts() -> None:
    assert first_flush(TIMING, START, after(2)) == after(32)


def test_an_alert_that_is_open_for_longer_begins_a_group_that_goes_at_once() -> None:
    assert first_flush(TIMING, START, after(31)) == after(31)


@given(st.integers(1, 10**6), st.integers(0, 10**9))
def test_each_multiple_of_the_interval_is_one_and_no_change_waits_for_more_than_one(
    interval_s: int, passed_s: int
) -> None:
    timing = Timing(wait=SECOND, interval=interval_s * SECOND, repeat=None)
    found = tick(timing, START, after(passed_s))

    assert (found - START) % timing.interval == timedelta(0)
    assert timedelta(0) <= found - after(passed_s) < timing.interval
    following = following_tick(timing, START, after(passed_s))
    assert timedelta(0) < following - after(passed_s) <= timing.interval


def test_before_the_first_message_nothing_comes_sooner() -> None:
    assert following_tick(TIMING, after(30), after(2)) == after(30)


SENT, RESOLVED = {"is_sent": True}, {"is_resolved": True}
ACKNOWLEDGED, SUPPRESSED = {"is_acknowledged": True}, {"is_suppressed": True}
# The alerts of a group, how long ago it was sent, and what happens. The first eight are those of
# Alertmanager's own test of what needs a message.
FLUSHES: dict[str, tuple[list[Member], int | None, Flush]] = {
    "nothing was sent, and alerts fire": (
        [member(1, "opened"), member(2, "opened")], None, Flush(changed=(1, 2)),
    ),
    "another alert fires": (
        [member(1, **SENT), member(2, "opened")], 300, Flush(changed=(2,), firing=(1,)),
    ),
    "nothing has changed": ([member(1, **SENT)], 3599, Flush()),
    "nothing has changed for as long as a repetition takes": (
        [member(1, **SENT)], 3600, Flush(firing=(1,)),
    ),
    "one of them is resolved": (
        [member(1, **SENT), member(2, "resolved", **SENT, **RESOLVED)], 300,
        Flush(changed=(2,), firing=(1,), left=(2,)),
    ),
    "all of them are resolved": (
        [member(2, "resolved", **SENT, **RESOLVED)], 300, Flush(changed=(2,), left=(2,)),
    ),
    "one that was sent is suppressed": (
        [member(1, **SENT), member(2, **SENT, **SUPPRESSED)], 3600, Flush(firing=(1,)),
    ),
    "one that was not sent is suppressed": (
        [member(1, "opened", **SUPPRESSED)], None, Flush(),
    ),
    # From here on it is Vigia's own.
    "one opens and ends between two messages": (
        [member(1, "opened", "resolved", **RESOLVED)], None, Flush(changed=(1,), left=(1,)),
    ),
    "one that was not sent ends while it is suppressed": (
        [member(1, "opened", "resolved", **RESOLVED, **SUPPRESSED)], 300, Flush(left=(1,)),
    ),
    "one that was sent ends while it is suppressed": (
        [member(1, "resolved", **SENT, **RESOLVED, **SUPPRESSED)], 300,
        Flush(changed=(1,), left=(1,)),
    ),
    "one that was sent is no longer suppressed": (
        [member(1, "unsuppressed", **SENT)], 300, Flush(passed=(1,)),
    ),
    "one that was not sent is no longer suppressed": (
        [member(1, "unsuppressed")], 300, Flush(changed=(1,)),
    ),
    "one became more severe while it was suppressed, and is not any more": (
        [member(1, "escalated", "unsuppressed", **SENT)], 300, Flush(changed=(1,)),
    ),
    "one is acknowledged": (
        [member(1, "acknowledged", **SENT, **ACKNOWLEDGED), member(2, **SENT)], 300,
        Flush(changed=(1,), firing=(2,)),
    ),
    "a repetition leaves out what is acknowledged": (
        [member(1, **SENT, **ACKNOWLEDGED), member(2, **SENT)], 3600, Flush(firing=(2,)),
    ),
    "all that fires is acknowledged": ([member(1, **SENT, **ACKNOWLEDGED)], 3600, Flush()),
}  # fmt: skip


@pytest.mark.parametrize(("members", "ago_s", "expected"), FLUSHES.values(), ids=FLUSHES)
def test_what_is_sent_of_a_group(members: list[Member], ago_s: int | None, expected: Flush) -> None:
    sent_at = None if ago_s is None else after(-ago_s)

    assert flush(members, TIMING, sent_at, START) == expected
    assert expected.is_message == bool(expected.changed or expected.firing)


def test_without_changes_a_group_is_sent_again_at_the_first_multiple_after_repeat() -> None:
    timing = Timing(wait=SECOND, interval=SECOND, repeat=timedelta(seconds=4.9))

    assert next_flush(timing, after(2.1), after(4.1), after(4.1)) == after(9.1)


def test_a_repetition_that_had_nothing_to_send_comes_again_after_repeat() -> None:
    assert next_flush(TIMING, START, START, after(3600)) == after(7200)


def test_without_repeat_a_group_waits_for_a_change() -> None:
    timing = Timing(wait=SECOND, interval=SECOND, repeat=None)

    assert next_flush(timing, START, START, after(1)) is None
    assert flush([member(1, **SENT)], timing, START, after(10**6)) == Flush()
