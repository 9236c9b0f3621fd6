"""Maintenance windows on the clock of any zone: none is doubled or lost."""

import calendar
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import errors

from alerts.suppression import maintenance as windows
from alerts.suppression.maintenance import Window
from db.queries import Connection, Pool
from model.times import duration_text, whole_seconds

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
    "Africa/Casablanca", "Asia/Kathmandu", "Antarctica/Troll", "America/St_Johns", "Asia/Tehran",
]  # fmt: skip
Spans = list[tuple[datetime, datetime]]


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(*weekdays: Any, **more: Any) -> Window:
    return Window(name="w", repeat="weekly", weekdays=list(weekdays), **more)


def daily(**more: Any) -> Window:
    return Window(name="w", repeat="daily", **more)


async def spans(connection: Connection, window: Window, start: datetime, end: datetime) -> Spans:
    async with connection.transaction(force_rollback=True):
        await windows.insert(connection, window, start, "ana")
        cursor = await connection.execute(
            "SELECT starts_at, ends_at FROM maintenance_spans(%s, %s) ORDER BY 1", [start, end]
        )
        return list(await cursor.fetchall())


# The zone, local time and duration; the first day; and when the work of three days begins, in UTC.
CHANGES = {
    "left out, it begins an hour later by the clock": (
        ("Europe/Berlin", "02:30", "1h", "2026-03-28"),
        ["2026-03-28 01:30", "2026-03-29 01:30", "2026-03-30 00:30"],
    ),
    "passed twice, it is the first": (
        ("Europe/Berlin", "02:30", "1h", "2026-10-24"),
        ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"],
    ),
    "over the change it lasts as long as ever": (
        ("Europe/Berlin", "01:00", "4h", "2026-03-28"),
        ["2026-03-28 00:00", "2026-03-29 00:00", "2026-03-29 23:00"],
    ),
    "in spring in New York": (
        ("America/New_York", "02:15", "30m", "2026-03-07"),
        ["2026-03-07 07:15", "2026-03-08 07:15", "2026-03-09 06:15"],
    ),
    "in autumn in New York": (
        ("America/New_York", "01:15", "30m", "2026-10-31"),
        ["2026-10-31 05:15", "2026-11-01 05:15", "2026-11-02 06:15"],
    ),
    "half an hour is left out": (
        ("Australia/Lord_Howe", "02:10", "1h", "2026-10-03"),
        ["2026-10-02 15:40", "2026-10-03 15:40", "2026-10-04 15:10"],
    ),
    "half an hour is passed twice": (
        ("Australia/Lord_Howe", "01:40", "1h", "2026-04-04"),
        ["2026-04-03 14:40", "2026-04-04 14:40", "2026-04-05 15:10"],
    ),
    "a day is left out": (
        ("Pacific/Apia", "02:00", "1h", "2011-12-29"),
        ["2011-12-29 12:00", "2011-12-30 12:00", "2011-12-31 12:00"],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
async def test_work_comes_once_a_day_when_the_clocks_are_changed(
    connection: Connection, case: str
) -> None:
    (zone, clock, duration, day), begins = CHANGES[case]
    window = daily(tz=zone, time=clock, duration=duration)
    first = datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    found = await spans(connection, window, first, utc(begins[-1]) + timedelta(minutes=1))

    assert [start for start, _ in found] == [utc(begin) for begin in begins]
    length = timedelta(seconds=whole_seconds(duration))
    assert {end - start for start, end in found} == {length}


async def test_the_work_of_a_weekday_that_is_left_out_is_done_the_next_day(
    connection: Connection,
) -> None:
    """There was no Friday in Samoa in that week."""
    window = weekly("fri", tz="Pacific/Apia", time="02:00", duration="1h")

    found = await spans(connection, window, utc("2011-12-20"), utc("2012-01-10"))

    assert [start for start, _ in found] == [
        utc("2011-12-23 12:00"), utc("2011-12-30 12:00"), utc("2012-01-05 12:00"),
    ]  # fmt: skip


async def test_days_that_a_month_has_not_are_its_last(connection: Connection) -> None:
    window = Window(name="w", repeat="monthly", days=[1, 30, 31], time="12:00", duration="1h")

    found = await spans(connection, window, utc("2028-01-15"), utc("2028-05-01"))

    assert [f"{start:%m-%d}" for start, _ in found] == [
        "01-30", "01-31", "02-01", "02-29", "03-01", "03-30", "03-31", "04-01", "04-30",
    ]  # fmt: skip


async def test_a_window_recurs_within_its_limits_and_no_longer(connection: Connection) -> None:
    window = daily(
        time="22:00", duration="4h",
        starts_at=utc("2026-01-01 23:00"), ends_at=utc("2026-01-03 23:00"),
    )  # fmt: skip

    assert await spans(connection, window, utc("2025-12-01"), utc("2026-02-01")) == [
        (utc("2026-01-01 23:00"), utc("2026-01-02 02:00")),
        (utc("2026-01-02 22:00"), utc("2026-01-03 02:00")),
        (utc("2026-01-03 22:00"), utc("2026-01-03 23:00")),
    ]


async def test_only_what_touches_the_range_is_found(connection: Connection) -> None:
    begin, end = utc("2026-01-01 10:00"), utc("2026-01-01 12:00")
    window = Window(name="w", starts_at=begin, ends_at=end)

    for start, stop, touches in (
        (begin - HOUR, begin, False),
        (begin - HOUR, begin + HOUR, True),
        (begin + HOUR / 2, begin + HOUR, True),
        (end - HOUR / 2, end + HOUR, True),
        (end, end + HOUR, False),
    ):
        assert await spans(connection, window, start, stop) == [(begin, end)] * touches


def is_day_of(window: Window, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    return {
        "daily": True,
        "weekly": WEEKDAYS[day.weekday()] in window.weekdays,
        "monthly": day.day in {min(wanted, last) for wanted in window.days},
    }[window.repeat]


def reference_model(window: Window, start: datetime, end: datetime) -> Spans:
    """Plain Python's answer: each day of the calendar, by zoneinfo."""
    zone, length = ZoneInfo(window.tz), timedelta(seconds=whole_seconds(window.duration or "0s"))
    found = set()
    day = (start - length).astimezone(zone).date() - 2 * DAY
    while day <= end.astimezone(zone).date() + 2 * DAY:
        if is_day_of(window, day):
            local = datetime.combine(day, time.fromisoformat(window.time or "00:00"), zone)
            begin = local.astimezone(UTC)
            begins, ends = begin, begin + length
            begins = max(begins, window.starts_at or begins)
            ends = min(ends, window.ends_at or ends)
            if begins < ends and begins < end and ends > start:
                found.add((begins, ends))
        day += DAY
    return sorted(found)


RECURRENCE = st.one_of(
    st.just({"repeat": "daily"}),
    st.builds(
        lambda days: {"repeat": "weekly", "weekdays": sorted(days)},
        st.sets(st.sampled_from(WEEKDAYS), min_size=1),
    ),
    st.builds(
        lambda days: {"repeat": "monthly", "days": sorted(days)},
        st.sets(st.integers(1, 31), min_size=1, max_size=4),
    ),
)
MOMENT = st.datetimes(datetime(1972, 1, 1), datetime(2037, 1, 1)).map(  # noqa: DTZ001 (UTC follows)
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    zone=st.sampled_from(ZONES),
    recurrence=RECURRENCE,
    minutes=st.integers(0, 1439),
    duration_s=st.sampled_from([60, 1800, 3600, 4 * 3600, 30 * 3600, 31 * 86400]),
    start=MOMENT,
    length_s=st.integers(0, 20 * 86400),
    limits=st.tuples(st.none() | st.integers(0, 5), st.none() | st.integers(6, 20)),
)
@example(
    "Europe/Berlin", {"repeat": "daily"}, 150, 3600, utc("2026-10-24"), 3 * 86400, (None, None)
)
async def test_every_window_is_where_plain_python_finds_it(
    connection: Connection, zone: str, recurrence: dict[str, Any], minutes: int, duration_s: int,
    start: datetime, length_s: int, limits: tuple[int | None, int | None],
) -> None:  # fmt: skip
    begins, ends = (None if days is None else start + days * DAY for days in limits)
    window = Window(
        name="w", tz=zone, time=f"{minutes // 60:02}:{minutes % 60:02}",
        duration=duration_text(duration_s), starts_at=begins, ends_at=ends, **recurrence,
    )  # fmt: skip
    end = start + timedelta(seconds=length_s + 1)

    assert await spans(connection, window, start, end) == reference_model(window, start, end)


async def test_the_engine_has_every_zone_that_people_may_name(connection: Connection) -> None:
    cursor = await connection.execute("SELECT array_agg(name) FROM pg_timezone_names")
    [row] = await cursor.fetchall()

    assert available_timezones() - {"localtime"} <= set(row[0])
    with pytest.raises(errors.InvalidParameterValue):
        await spans(
            connection, daily(tz="localtime", time="02:00", duration="1h"), *[utc("2026-01-01")] * 2
        )


RECURS = {"name": "w", "time": "02:00", "duration": "1h"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "w"}, "starts_at and ends_at"),
        ({"name": "w", "starts_at": utc("2026-01-01")}, "starts_at and ends_at"),
        ({"name": "w", "starts_at": utc("2026-01-02"), "ends_at": utc("2026-01-01")}, "after"),
        (
            {**RECURS, "starts_at": utc("2026-01-01"), "ends_at": utc("2026-01-02")},
            "a one-off window",
        ),
        ({"name": "w", "repeat": "daily"}, "needs a time"),
        ({**RECURS, "repeat": "daily", "duration": "32d"}, "from 1m to 31d"),
        ({**RECURS, "repeat": "daily", "weekdays": ["mon"]}, "weekdays"),
        ({**RECURS, "repeat": "weekly"}, "weekdays"),
        ({**RECURS, "repeat": "monthly"}, "days"),
        ({**RECURS, "repeat": "daily", "tz": "Europe/Nowhere"}, "time zone"),
        ({**RECURS, "repeat": "daily", "tz": "../etc/passwd"}, "time zone"),
    ],
)
def test_a_window_that_could_never_come_is_refused(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Window(**wrong)
