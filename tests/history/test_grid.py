"""Grids: aligned, complete, and limited; days follow the calendar of the zone."""

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from history import grid
from history.grid import Grid
from model.errors import InvalidError
from model.times import parse_duration

MOMENTS = st.integers(0, 2**32).map(lambda s: datetime.fromtimestamp(s, UTC))
SPANS = st.integers(1, 20 * 365 * 86400).map(lambda s: timedelta(seconds=s))
STEPS = st.one_of(st.sampled_from(grid.STEPS_S), st.integers(1, 90000))
ZONES = [
    "Europe/Lisbon",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Cairo",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Etc/UTC",
]


def day_begins(day: date, zone: ZoneInfo) -> int:
    """Return the first minute in which a clock of the zone shows the day, or a later one."""
    minute = datetime.combine(day, time(), UTC) - timedelta(hours=15)
    while minute.astimezone(zone).date() < day:
        minute += timedelta(minutes=1)
    return int(minute.timestamp())


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@given(MOMENTS, SPANS, STEPS)
def test_buckets_are_multiples_of_the_step_and_cover_the_range(
    start: datetime, span: timedelta, step_s: int
) -> None:
    end = start + span

    made = grid.make(start, end, step_s, bounded=False)

    assert made.edges[0] % step_s == made.edges[-1] % step_s == 0
    assert made.edges[0] <= start.timestamp() < made.edges[0] + step_s
    assert made.edges[-1] - step_s < end.timestamp() <= made.edges[-1]
    assert made.points == len(made.times) == made.seconds // step_s
    assert (made.times[0], made.start, made.end) == (
        made.edges[0],
        datetime.fromtimestamp(made.edges[0], UTC),
        datetime.fromtimestamp(made.edges[-1], UTC),
    )
    assert made.before == made.edges[0] - step_s
    assert made.edges[0] % made.unit_s == step_s % made.unit_s == 0


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ZONES).map(ZoneInfo),
    st.integers(86400 * 1000, 2**31).map(lambda s: datetime.fromtimestamp(s, UTC)),
    st.integers(1, 6 * 86400).map(lambda s: timedelta(seconds=s)),
    st.sampled_from([1, 2, 7]),
)
def test_days_begin_when_the_clocks_of_the_zone_show_them_first(
    zone: ZoneInfo, start: datetime, span: timedelta, days: int
) -> None:
    made = grid.make(start, start + span, days * 86400, zone)

    assert made.is_calendar
    assert made.edges[0] <= start.timestamp() < made.edges[1]
    assert made.edges[-2] < (start + span).timestamp() <= made.edges[-1]
    shown = [datetime.fromtimestamp(edge, zone).date() for edge in (made.before, *made.edges)]
    assert [day_begins(day, zone) for day in shown] == [made.before, *made.edges]
    if zone.key != "Pacific/Apia":  # It left out a day once, as a test below tells.
        assert all((day - date(1970, 1, 1)).days % days == 0 for day in shown)
        assert all((b - a).days == days for a, b in pairwise(shown))
    assert all(edge % made.unit_s == 0 for edge in made.edges)


@pytest.mark.parametrize(
    ("zone", "first", "last", "hours", "unit_s"),
    [
        ("Europe/Lisbon", "2026-03-28", "2026-03-30", [24, 23, 24], 3600),
        ("Europe/Lisbon", "2026-10-24", "2026-10-26", [24, 25, 24], 3600),
        ("America/Sao_Paulo", "2018-11-03", "2018-11-05", [24, 23, 24], 3600),
        ("America/Sao_Paulo", "2018-02-17", "2018-02-18", [25, 24], 3600),
        ("Asia/Kolkata", "2026-01-01", "2026-01-02", [24, 24], 1800),
        ("Australia/Lord_Howe", "2026-04-04", "2026-04-06", [24, 24.5, 24], 1800),
        ("Australia/Lord_Howe", "2026-10-03", "2026-10-05", [24, 23.5, 24], 1800),
        ("Africa/Cairo", "2026-04-23", "2026-04-25", [24, 23, 24], 3600),
        ("Africa/Cairo", "2026-10-29", "2026-10-30", [25, 24], 3600),
        ("America/Havana", "2026-11-01", "2026-11-02", [25, 24], 3600),
        ("Pacific/Apia", "2011-12-28", "2012-01-01", [24, 24, 24, 24], 3600),
    ],
)
def test_days_are_as_long_as_the_calendar_has_them(
    zone: str, first: str, last: str, hours: list[float], unit_s: int
) -> None:
    made = grid.make(at(first, zone), at(f"{last}T23:59", zone), 86400, ZoneInfo(zone))

    assert [(b - a) / 3600 for a, b in pairwise(made.edges)] == hours
    assert made.unit_s % unit_s == 0
    assert made.unit_s % 3600 == unit_s % 3600


def test_the_day_that_samoa_left_out_is_no_bucket() -> None:
    """The 29th of December 2011 was followed by the 31st; also where a range begins with that."""
    zone = ZoneInfo("Pacific/Apia")
    dates = []
    for start in ("2011-12-29", "2011-12-31"):
        made = grid.make(at(start, zone.key), at("2012-01-01T12:00", zone.key), 86400, zone)
        dates.append([datetime.fromtimestamp(t, zone).day for t in (made.before, *made.times)])

    assert dates == [[28, 29, 31, 1], [29, 31, 1]]


@pytest.mark.parametrize("zone", ZONES)
def test_steps_that_are_no_days_are_multiples_of_the_epoch_in_every_zone(zone: str) -> None:
    for step_s in (900, 3600, 43200, 90000):
        made = grid.make(at("2026-03-28"), at("2026-03-30"), step_s, ZoneInfo(zone))
        assert made == grid.make(at("2026-03-28"), at("2026-03-30"), step_s)
        assert not made.is_calendar


@given(MOMENTS, SPANS, STEPS, st.integers(1, 400 * 86400))
def test_earlier_buckets_are_as_many_and_as_long(
    start: datetime, span: timedelta, step_s: int, seconds: int
) -> None:
    made = grid.make(start, start + span, step_s, bounded=False)
    if made.before < seconds:
        with pytest.raises(InvalidError, match="before 1970"):
            grid.back(made, seconds, grid.UTC_ZONE)
        return

    earlier = grid.back(made, seconds, grid.UTC_ZONE)

    assert earlier.points == made.points
    assert (earlier.edges[0], earlier.edges[-1]) == (
        made.edges[0] - seconds,
        made.edges[-1] - seconds,
    )
    assert (earlier.step_s, earlier.before) == (step_s, made.before - seconds)


def test_earlier_days_are_days_of_the_calendar_too() -> None:
    """A week before a Sunday of 23 hours lies one of 24, which begins an hour earlier in UTC."""
    zone = ZoneInfo("Europe/Lisbon")
    made = grid.make(at("2026-03-29", zone.key), at("2026-04-01", zone.key), 86400, zone)

    earlier = grid.back(made, 7 * 86400, zone)

    week = [datetime(2026, 3, day, tzinfo=zone) for day in (21, 22, 23, 24, 25)]
    assert [earlier.before, *earlier.edges] == [int(day.timestamp()) for day in week]
    with pytest.raises(InvalidError, match="whole days"):
        grid.back(made, 3600, zone)


@given(
    MOMENTS,
    SPANS,
    st.integers(2, 11_000),
    st.sampled_from([1, 60, 300, 3600, 86400]),
)
def test_auto_is_the_finest_step_of_the_list_with_no_more_points(
    start: datetime, span: timedelta, points: int, finest_s: int
) -> None:
    end = start + span

    made = grid.auto(start, end, points, finest_s)

    assert made.points <= points
    assert made.step_s % finest_s == 0
    finer = [s for s in grid.STEPS_S if s < made.step_s and s % finest_s == 0]
    assert all(grid.make(start, end, s, bounded=False).points > points for s in finer)


@settings(max_examples=60, deadline=None)
@given(MOMENTS, SPANS, st.integers(2, 600), st.sampled_from(ZONES).map(ZoneInfo))
def test_auto_finds_a_step_in_every_zone(
    start: datetime, span: timedelta, points: int, zone: ZoneInfo
) -> None:
    made = grid.auto(start, start + span, points, 1, zone)

    assert made.points <= points
    assert made.edges[0] <= start.timestamp()
    assert made.edges[-1] >= (start + span).timestamp()


@pytest.mark.parametrize("points", [2, 3, 500, 11_000])
def test_auto_finds_a_step_for_the_widest_range(points: int) -> None:
    for zone in (grid.UTC_ZONE, ZoneInfo("Europe/Lisbon")):
        made = grid.auto(at("1970-01-01"), at("2242-01-01"), points, 1, zone)
        assert made.points <= points


@pytest.mark.parametrize("hours", [0, -1])
def test_a_range_must_go_forward(hours: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(hours=hours)

    for make in (
        lambda: grid.make(start, end, 60),
        lambda: grid.make(start, end, 86400, ZoneInfo("Europe/Lisbon")),
        lambda: grid.auto(start, end, 500, 1),
    ):
        with pytest.raises(InvalidError, match="start must be before end"):
            make()


@pytest.mark.parametrize("text", ["0.5", "0.5s", "1.5s", "100.25", "0.1", "auto ", "1ns", "-1m"])
def test_a_step_is_whole_seconds(text: str) -> None:
    with pytest.raises(InvalidError):
        grid.step_of(text)


def test_partial_buckets_begin_with_the_one_that_holds_now() -> None:
    made = Grid(range(600, 1201, 60), 60, 540)

    def moment(second: int) -> datetime:
        return datetime.fromtimestamp(second, UTC)

    assert made.partial_from(moment(659)) == moment(600)
    assert made.partial_from(moment(660)) == moment(660)
    assert made.partial_from(moment(1199)) == moment(1140)
    assert made.partial_from(moment(1200)) is None
    assert made.partial_from(moment(0)) == moment(600)


@given(MOMENTS, SPANS, STEPS, st.sampled_from(["UTC", "Europe/Lisbon"]))
@settings(deadline=None)
def test_too_many_points_are_refused_with_a_step_that_fits(
    start: datetime, span: timedelta, step_s: int, zone: str
) -> None:
    problem = ""
    try:
        made = grid.make(start, start + span, step_s, ZoneInfo(zone))
    except InvalidError as refusal:
        problem = str(refusal)
        assert span.total_seconds() / step_s > grid.POINTS_MAX - 2
        assert f"{grid.POINTS_MAX:,}" in problem
        advised = re.search(r"step that fits is (\w+)", problem)
        assert advised
        made = grid.make(start, start + span, int(parse_duration(advised[1])), ZoneInfo(zone))
        assert made.step_s > step_s

    # The days of a calendar may be one or two more than a range has days of 24 hours.
    assert made.points <= grid.POINTS_MAX + 2 * made.is_calendar


def test_no_step_helps_a_range_that_is_too_long_for_all() -> None:
    with pytest.raises(InvalidError, match="choose a shorter range"):
        grid.make(at("1970-01-01"), at("2242-01-01"), 7 * 86400)


@pytest.mark.parametrize(
    ("points", "values", "rows", "word"),
    [
        (11_000, 1_000_000, 2_000_000.0, ""),
        (11_001, 1, 1.0, "11,001 points are too many: a series may have 11,000"),
        (1, 1_000_001, 1.0, "1,000,001 values are too many: a response may have 1,000,000"),
        (1, 1, 2_000_001.0, "about 2,000,001 rows, and may read 2,000,000"),
    ],
)
def test_every_limit_is_said(points: int, values: int, rows: float, word: str) -> None:
    found = grid.excess(points, values, rows)

    assert (word in found) if word else not found
