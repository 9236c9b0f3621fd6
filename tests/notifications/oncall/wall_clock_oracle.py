"""A second opinion on hand-overs: someone who looks at the clock on the wall every few minutes."""

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from notifications.oncall.rotation import Rotation

ZONES = ("Europe/Lisbon", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu")
START = datetime(2016, 6, 1, tzinfo=UTC)
"""Three years from here hold six changes in Lisbon, Lord Howe and São Paulo, its last ones."""
END = datetime(2019, 6, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)


def shown(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock on the wall shows."""
    return moment.astimezone(zone).replace(tzinfo=None)


def changes(zone: ZoneInfo) -> list[datetime]:
    """Return when the clocks of the zone change within the three years."""
    found = []
    half_hours = int((END - START) / timedelta(minutes=30))
    before = START.astimezone(zone).utcoffset()
    for number in range(half_hours):
        moment = START + number * timedelta(minutes=30)
        offset = moment.astimezone(zone).utcoffset()
        if offset != before:
            found.append(moment)
        before = offset
    return found


def planned(rotation: Rotation) -> Iterator[datetime]:
    """Yield the local times of all hand-overs, as one would write them on a calendar of paper."""
    start, length = rotation.start, rotation.length
    for number in count():
        if rotation.unit == "month":
            month = start.month - 1 + number * length
            year, month = start.year + month // 12, month % 12 + 1
            day = min(start.day, calendar.monthrange(year, month)[1])
            yield start.replace(year=year, month=month, day=day)
        else:
            hours = {"hour": 1, "day": 24, "week": 168}[rotation.unit]
            yield start + timedelta(hours=hours * length * number)


def watched(
    rotation: Rotation, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, str | None]]:
    """Yield at every look at the clock who is on call.

    Whenever it shows the time of the next hand-over or a later one, the next person takes over. It
    does not matter that it shows some times twice: what is handed over stays so.
    """
    calendar_of_paper = planned(rotation)
    due, taken, moment = next(calendar_of_paper), -1, start
    while moment < end:
        while shown(moment, zone) >= due:
            due, taken = next(calendar_of_paper), taken + 1
        person = rotation.people[taken % len(rotation.people)] if taken >= 0 else None
        yield moment, person
        moment += STEP
