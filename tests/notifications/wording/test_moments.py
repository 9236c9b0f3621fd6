"""Times are the reader's own: the zone's clock and name, and the day where it is not today."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.times import of_epoch
from notifications.message import Language
from notifications.wording.moments import clock_text, moment_text, zone_text
from notifications.wording.templates import words

NOW = datetime(2026, 3, 1, 3, 12, tzinfo=UTC)
EN, PT = words(Language.ENGLISH), words(Language.BRAZILIAN_PORTUGUESE)


@pytest.mark.parametrize(
    ("time", "zone", "english", "portuguese"),
    [
        ("2026-03-01T03:00:00Z", "UTC", "03:00 UTC", "03:00 UTC"),
        ("2026-03-01T03:00:00Z", "Europe/Berlin", "04:00 CET", "04:00 CET"),
        ("2026-03-01T02:59:59Z", "America/Sao_Paulo", "28 Feb 23:59 UTC-3", "28 fev 23:59 UTC-3"),
        ("2026-02-28T22:30:00Z", "Asia/Kathmandu", "04:15 UTC+5:45", "04:15 UTC+5:45"),
        ("2025-12-31T23:30:00Z", "UTC", "31 Dec 2025 23:30 UTC", "31 dez 2025 23:30 UTC"),
        (
            "2025-08-01T10:00:00Z",
            "America/New_York",
            "1 Aug 2025 06:00 EDT",
            "1 ago 2025 06:00 EDT",
        ),
    ],
)
def test_a_time_is_shown_in_the_readers_zone(
    time: str, zone: str, english: str, portuguese: str
) -> None:
    moment = datetime.fromisoformat(time)
    assert moment_text(moment, NOW, ZoneInfo(zone), EN) == english
    assert moment_text(moment, NOW, ZoneInfo(zone), PT) == portuguese


def test_the_abbreviation_tells_the_two_hours_apart_in_which_a_clock_goes_back() -> None:
    zone = ZoneInfo("Europe/Lisbon")
    before, after = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    shown = [moment_text(time, after, zone, EN) for time in (before, after)]
    assert shown == ["01:30 WEST", "01:30 WET"]


@given(st.integers(0, 2**32).map(of_epoch), st.timezone_keys(allow_prefix=False))
def test_every_zone_has_a_name_that_can_be_read(time: datetime, key: str) -> None:
    name = zone_text(time, ZoneInfo(key))
    assert name[:1].isalpha()
    assert len(moment_text(time, NOW, ZoneInfo(key), EN)) <= 30
    assert clock_text(time, time, ZoneInfo(key), EN) == f"{time.astimezone(ZoneInfo(key)):%H:%M}"
