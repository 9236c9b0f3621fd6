"""Times and durations are read in every documented form and in no other."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import InvalidError
from model.limits import EPOCH_S_MAX
from model.times import (
    WholeDuration,
    duration_text,
    micros_of,
    parse_duration,
    parse_moment,
    parse_time,
    time_of,
    whole_seconds,
)

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MOMENTS = st.builds(datetime.fromtimestamp, st.floats(0, EPOCH_S_MAX), ZONES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-24h", NOW - timedelta(hours=24)),
        ("-1.5h", NOW - timedelta(minutes=90)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("1774747800", NOW),
        ("1774747800.25", NOW + timedelta(seconds=0.25)),
        ("1774747800000", NOW),
        ("1774747800250", NOW + timedelta(seconds=0.25)),
        ("100000000000", datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (1774747800, NOW),
        (1774747800000, NOW),
        ("now-24h", NOW - timedelta(hours=24)),
        ("2026-03-29T01:30:00Z", NOW),
        ("2026-03-29t01:30:00z", NOW),
        ("2026-03-29 03:30:00+02:00", NOW),
        ("2026-03-29T01:30:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2026-03-28T19:30:00-06:00", NOW),
    ],
)
def test_a_time_is_read(text: str | float, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


HOSTILE = [
    "",
    "-",
    "-h",
    "-0s",
    "-1",
    "-9e18",
    "1e400",
    "1e3",
    "inf",
    "nan",
    "NaN",
    "0x10",
    "9999999999999999999999",
    "99999999999",
    "١٢٣",
    "-5000000d",
    "-99999999999999999999s",
    "2026-03-29",
    "2026-03-29T01:30:00",
    "2026-03-29T25:30:00Z",
    "2026-02-30T00:00:00Z",
    "2026-03-29T01:30:60Z",
    "9999-12-31T23:59:59Z",
    "1969-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "2026-03-29T01:30:00+99:99",
    "now()",
    "now-",
    "now-1",
    "now+1h",
    "now-1h/h",
    "nownow-1h",
    "99999999999999",
    "NOW",
    " now",
    "1 ",
    "1\n",
    "tomorrow",
    "'; DROP TABLE series; --",
    "1" * 5000,
    "-" + "9" * 5000 + "s",
    "\0",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_that_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        parse_time(text, NOW)

    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("2026-03-29", "2026-03-29T00:00:00Z"),
        ("2026-03-29T01:30:00", "no time zone"),
        ("2026-03-29 01:30", "no time zone"),
        ("tomorrow", "epoch seconds or milliseconds"),
    ],
)
def test_a_refusal_of_a_time_says_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(InvalidError, match=instead):
        parse_time(text, NOW)


@given(st.text(max_size=40))
def test_any_text_is_a_time_in_our_range_or_refused(text: str) -> None:
    try:
        found = parse_time(text, NOW)
    except InvalidError:
        return
    assert 0 <= found.timestamp() <= EPOCH_S_MAX


@given(MOMENTS)
def test_a_moment_written_in_any_zone_is_read_back(moment: datetime) -> None:
    utc = moment.astimezone(UTC)

    assert parse_moment(moment.isoformat()) == utc
    assert parse_moment(utc.isoformat().replace("+00:00", "Z")) == utc


@given(MOMENTS)
def test_microseconds_since_1970_are_exact(moment: datetime) -> None:
    assert time_of(micros_of(moment)) == moment


@given(st.floats(0, EPOCH_S_MAX))
def test_epoch_seconds_are_read_to_the_microsecond(seconds: float) -> None:
    text = f"{seconds:.6f}"

    found = parse_moment(text)

    assert found is not None
    assert abs(found.timestamp() - float(text)) < 2e-6


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("5m", 300),
        ("1h", 3600),
        ("7d", 604800),
        ("90", 90),
        ("0.5", 0.5),
        ("1.5h", 5400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0s",
        "-1s",
        "s",
        "1w",
        "1ns",
        "1e5",
        "1e400",
        "inf",
        "nan",
        "1 s",
        "1ss",
        "\u0665m",
        "1h\n",
        "999999999999d",
        "9" * 400,
        "36501d",
    ],
)
def test_a_text_that_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_duration(text)


@given(st.integers(1, 100 * 365 * 86400))
def test_a_duration_that_is_written_is_read_back(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


@given(st.integers(0, 999_999_999), st.sampled_from(["", "s", "m", "h", "d"]))
def test_whole_seconds_are_read_as_they_are_meant_and_written_back(count: int, unit: str) -> None:
    given_ = msgspec.convert(f"{count}{unit}", WholeDuration)
    unit_s = timedelta(**{UNITS[unit]: 1}) // timedelta(seconds=1)

    assert whole_seconds(given_) == count * unit_s
    assert whole_seconds(duration_text(count * unit_s)) == count * unit_s


@given(st.integers(0, 999_999_999))
def test_whole_seconds_may_be_a_number(seconds: int) -> None:
    assert whole_seconds(msgspec.convert(float(seconds), WholeDuration)) == seconds


@pytest.mark.parametrize("wrong", ["", "1.5h", "-1s", "1w", "1 s", "1h\n", "\u0665m", -1, 1.5, 1e9])
def test_a_value_that_is_not_a_whole_duration_is_refused(wrong: str | float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, WholeDuration)


@given(st.text(max_size=20))
def test_any_text_is_a_positive_duration_or_refused(text: str) -> None:
    with suppress(InvalidError):
        assert parse_duration(text) > 0
