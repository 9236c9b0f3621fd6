"""When a message to a person may go."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.severity import Level
from notifications.contacts.contact import QUIET_MAX, Address, Contact, Quiet, quiet_until, send_at
from notifications.oncall.rotation import ActiveHours

NIGHT = ActiveHours(start="22:00", end="07:00")
WEEKEND = ActiveHours(weekdays=["sat", "sun"])
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-26 21:59", "2026-03-26 21:59"),
        ("2026-03-26 22:00", "2026-03-27 07:00"),
        ("2026-03-27 06:59", "2026-03-27 07:00"),
        ("2026-03-27 07:00", "2026-03-27 07:00"),
        # Friday night, the weekend and Sunday night follow each other; the clocks change.
        ("2026-03-27 23:00", "2026-03-30 06:00"),
    ],
)
def test_a_message_waits_for_the_end_of_quiet_hours(at: str, until: str) -> None:
    assert quiet_until([NIGHT, WEEKEND], "Europe/Lisbon", utc(at)) == utc(until)


def test_whoever_is_always_quiet_waits_for_a_week_at_most() -> None:
    now = utc("2026-03-27 12:00")
    assert quiet_until([ActiveHours()], "UTC", now) == now + QUIET_MAX


@given(
    st.lists(st.sampled_from([NIGHT, WEEKEND, ActiveHours(start="12:00", end="13:30")])),
    st.integers(0, 60 * 24 * 21),
)
def test_the_end_of_quiet_hours_is_the_first_minute_that_is_not_quiet(
    hours: list[ActiveHours], minutes: int
) -> None:
    at = utc("2026-03-20 00:00") + minutes * MINUTE
    end = quiet_until(hours, "Europe/Lisbon", at)

    assert quiet_until(hours, "Europe/Lisbon", end) == end
    probe = at
    while probe < end:
        assert quiet_until(hours, "Europe/Lisbon", probe) == end
        probe += 37 * MINUTE


@pytest.mark.parametrize(
    ("level", "at"),
    [
        (None, "2026-03-27 07:00"),
        (Level.WARNING, "2026-03-27 07:00"),
        (Level.CRITICAL, "2026-03-26 23:00"),
        (Level.EMERGENCY, "2026-03-26 23:00"),
    ],
)
def test_what_is_severe_enough_does_not_wait(level: Level | None, at: str) -> None:
    person = Quiet(quiet_hours=[NIGHT])
    assert send_at(person, level, utc("2026-03-26 23:00")) == utc(at)


def test_nothing_is_sent_to_whoever_is_muted() -> None:
    until = utc("2026-03-27 12:00")
    muted = Quiet(mute_until=until)

    assert send_at(muted, Level.EMERGENCY, until - MINUTE) is None
    assert send_at(muted, Level.INFO, until) == until


def test_an_address_is_there_once_and_the_zone_exists() -> None:
    twice = [Address(channel="mail", address="ana@example.org")] * 2
    with pytest.raises(ValueError, match="of mail is there twice"):
        Contact(name="ana", addresses=twice)
    with pytest.raises(ValueError, match="Europe/Lisbon"):
        Contact(name="ana", tz="Mars/Base")
