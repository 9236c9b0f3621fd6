"""Calendars show the shifts, whatever calendar program reads them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from icalendar import Calendar

from notifications.oncall import calendar_feed
from notifications.oncall.rotation import Rotation
from notifications.oncall.schedule import Override, Schedule, shifts
from tests.notifications.oncall.rota import DAILY, OFFICE

NOW = datetime(2026, 3, 27, 3, 17, 20, tzinfo=UTC)
FIRST, LAST = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
TITLE = "Plantão da noite, équipe «ops»; 24/7 \\ 日本 " + "é" * 100


def events_of(feed: bytes) -> list[Any]:
    calendar = Calendar.from_ical(feed)
    return list(calendar.walk("VEVENT"))


def times_of(feed: bytes) -> list[tuple[datetime, datetime]]:
    return [(event.decoded("dtstart"), event.decoded("dtend")) for event in events_of(feed)]


def test_a_schedule_has_an_event_for_each_shift() -> None:
    feed = calendar_feed.of_schedule(DAILY, NOW)
    expected = [shift for shift in shifts(DAILY, FIRST, LAST) if shift.people]

    assert times_of(feed) == [(shift.starts_at, shift.ends_at) for shift in expected]
    assert [str(event["summary"]) for event in events_of(feed)] == [
        f"{', '.join(shift.people)} on call: daily" for shift in expected
    ]
    assert any("eva" in event["summary"] for event in events_of(feed))


def test_times_of_nobody_on_call_are_left_out() -> None:
    times = times_of(calendar_feed.of_schedule(OFFICE, NOW))

    assert len({start.date() for start, _ in times}) == len(times) > 100
    assert {end - start for start, end in times} == {timedelta(hours=8)}


def test_a_person_has_the_shifts_of_all_schedules() -> None:
    both = Schedule(
        name="night",
        title="At night",
        layers=[Rotation(start=datetime.fromisoformat("2026-03-23 22:00"), people=["ana", "cy"])],
        overrides=[
            Override(starts_at=NOW, ends_at=NOW + timedelta(hours=2), in_="eva"),
        ],
    )
    events = events_of(calendar_feed.of_person("eva", [DAILY, both, OFFICE], NOW))

    assert [(str(event["summary"]), event.decoded("dtstart")) for event in events] == [
        ("On call: daily", datetime(2026, 3, 31, 8, tzinfo=UTC)),
        ("On call: At night", NOW),
    ]


def test_lines_are_as_the_standard_wants_them() -> None:
    schedule = msgspec.structs.replace(DAILY, title=TITLE)
    feed = calendar_feed.of_schedule(schedule, NOW)
    lines = feed.split(b"\r\n")

    assert (lines[0], lines[-2:]) == (b"BEGIN:VCALENDAR", [b"END:VCALENDAR", b""])
    assert max(map(len, lines)) <= 75
    assert all(b"\n" not in line for line in lines)
    whole = feed.replace(b"\r\n ", b"").decode()
    written = TITLE.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    for line in (f"NAME:{written}", f"X-WR-CALNAME:{written}", f"SUMMARY:ana on call: {written}"):
        assert f"\r\n{line}\r\n" in whole
    assert "\r\nREFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n" in whole
    assert "\r\nDTSTART:20260331T080000Z\r\n" in whole
    assert whole.count("\r\nTRANSP:TRANSPARENT\r\n") == whole.count("BEGIN:VEVENT")


@pytest.mark.parametrize(
    "later", [timedelta(seconds=1), timedelta(days=4)], ids=["a second", "days"]
)
def test_an_event_keeps_its_uid(later: timedelta) -> None:
    once, again = (
        {str(event["uid"]): event.decoded("dtend") for event in events_of(feed)}
        for feed in (
            calendar_feed.of_schedule(DAILY, NOW),
            calendar_feed.of_schedule(DAILY, NOW + later),
        )
    )

    assert once == again
    assert len(once) == len(times_of(calendar_feed.of_schedule(DAILY, NOW)))


def test_feeds_of_schedules_and_people_have_no_uid_in_common() -> None:
    feeds = [
        calendar_feed.of_schedule(DAILY, NOW),
        calendar_feed.of_schedule(OFFICE, NOW),
        calendar_feed.of_person("ana", [DAILY, OFFICE], NOW),
        calendar_feed.of_person("lead", [DAILY, OFFICE], NOW),
    ]
    uids = [event["uid"] for feed in feeds for event in events_of(feed)]

    assert len(set(uids)) == len(uids)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_feed_begins_with_last_month_and_ends_with_a_month(month: int) -> None:
    one = Schedule(
        name="one", layers=[Rotation(start=datetime.fromisoformat("2020-01-01"), people=["ana"])]
    )
    [(start, end)] = times_of(calendar_feed.of_schedule(one, datetime(2026, month, 28, tzinfo=UTC)))

    assert (start.day, start.hour, end.day, end.hour) == (1, 0, 1, 0)
    assert (12 * start.year + start.month) == 12 * 2026 + month - 1
    assert (12 * end.year + end.month) == 12 * 2026 + month + 7


def test_events_of_one_schedule_do_not_overlap() -> None:
    times = times_of(calendar_feed.of_schedule(DAILY, NOW))

    assert all(a[1] <= b[0] for a, b in pairwise(times))


def test_a_schedule_without_shifts_is_an_empty_calendar() -> None:
    assert events_of(calendar_feed.of_schedule(Schedule(name="empty"), NOW)) == []
