"""A time on the clocks is one moment: also one that they leave out, or show twice."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.oncall.wall_clock import first_moment, local_time, zone_of
from tests.notifications.oncall.wall_clock_oracle import ZONES

FIRST = datetime.fromisoformat("1975-01-01")
LOCALS = st.integers(0, 65 * 365 * 1440).map(lambda minutes: FIRST + timedelta(minutes=minutes))
ODD_ZONES = (*ZONES, "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Antarctica/Troll")

MOMENTS = {
    "an hour is left out: the moment of the jump": (
        "Europe/Lisbon", "2026-03-29 01:30", "2026-03-29 01:00",
    ),
    "the end of what is left out is the same moment": (
        "Europe/Lisbon", "2026-03-29 02:00", "2026-03-29 01:00",
    ),
    "an hour comes twice: the first": ("Europe/Lisbon", "2026-10-25 01:30", "2026-10-25 00:30"),
    "half an hour is left out": ("Australia/Lord_Howe", "2026-10-04 02:10", "2026-10-03 15:30"),
    "half an hour comes twice": ("Australia/Lord_Howe", "2026-04-05 01:40", "2026-04-04 14:40"),
    "midnight is left out": ("America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00"),
    "the last hour of a day comes twice": (
        "America/Sao_Paulo", "2019-02-16 23:15", "2019-02-17 01:15",
    ),
    "a whole day is left out": ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00"),
    "no change": ("Asia/Kathmandu", "2026-03-29 01:30", "2026-03-28 19:45"),
}  # fmt: skip


@pytest.mark.parametrize(("zone", "local", "moment"), MOMENTS.values(), ids=MOMENTS)
def test_changes_of_the_clocks(zone: str, local: str, moment: str) -> None:
    found = first_moment(datetime.fromisoformat(local), ZoneInfo(zone))

    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert found.utcoffset() == timedelta()


@given(LOCALS, st.sampled_from(ODD_ZONES).map(ZoneInfo))
def test_the_clocks_show_the_time_for_the_first_time_or_jump_over_it(
    local: datetime, zone: ZoneInfo
) -> None:
    moment = first_moment(local, zone)

    assert local_time(moment, zone) >= local
    assert local_time(moment - timedelta(microseconds=1), zone) < local


@given(LOCALS, st.integers(0, 3000), st.sampled_from(ODD_ZONES).map(ZoneInfo))
def test_a_later_time_never_comes_first(local: datetime, minutes: int, zone: ZoneInfo) -> None:
    later = local + timedelta(minutes=minutes)

    assert first_moment(local, zone) <= first_moment(later, zone)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "/etc/localtime", "é"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone; write one such as Europe/Lisbon"):
        zone_of(name)
