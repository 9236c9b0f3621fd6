"""Writes iCalendar feeds. Import this module when first needed, because icalendar takes 0.2 s."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from icalendar import Calendar, Event, vText

from notifications.oncall.schedule import Schedule, Shift, shifts, shifts_of

MONTHS_AHEAD = 7
REFRESH = timedelta(hours=1)
PRODUCT = "-//Vigia//On call//EN"


def of_schedule(schedule: Schedule, now: datetime) -> bytes:
    """Return the shifts of a schedule as an iCalendar file, without times with nobody on call."""
    calendar = _calendar(_title(schedule))
    for shift in shifts(schedule, *_range(now)):
        if shift.people:
            summary = f"{', '.join(shift.people)} on call: {_title(schedule)}"
            calendar.add_component(_event(shift, now, schedule.name, summary))
    return bytes(calendar.to_ical())


def of_person(person: str, schedules: Iterable[Schedule], now: datetime) -> bytes:
    """Return the shifts of a person in any of the schedules, as an iCalendar file."""
    calendar = _calendar(f"{person} on call")
    for schedule in schedules:
        for shift in shifts_of(schedule, person, *_range(now)):
            uid = f"{person}/{schedule.name}"
            calendar.add_component(_event(shift, now, uid, f"On call: {_title(schedule)}"))
    return bytes(calendar.to_ical())


def _range(now: datetime) -> tuple[datetime, datetime]:
    """Return the range of a feed: last month, this month and the next six.

    Both ends are starts of months. A shift that is cut at an end therefore keeps its UID while a
    calendar reads the feed again within the month.
    """
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (month - timedelta(days=1)).replace(day=1), _plus_months(month, MONTHS_AHEAD)


def _plus_months(month: datetime, count: int) -> datetime:
    years, index = divmod(month.month - 1 + count, 12)
    return month.replace(year=month.year + years, month=index + 1)


def _calendar(name: str) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("name", vText(name))
    calendar.add("x-wr-calname", vText(name))
    calendar.add("refresh-interval", REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    return calendar


def _event(shift: Shift, now: datetime, uid: str, summary: str) -> Event:
    event = Event()
    event.add("uid", f"{uid}/{shift.starts_at.astimezone(UTC):%Y%m%dT%H%M%SZ}@vigia")
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", shift.starts_at.astimezone(UTC))
    event.add("dtend", shift.ends_at.astimezone(UTC))
    event.add("summary", summary)
    # A person on call can still accept invitations, so the time does not count as busy.
    event.add("transp", "TRANSPARENT")
    return event


def _title(schedule: Schedule) -> str:
    return schedule.title or schedule.name
