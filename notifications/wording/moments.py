"""Times of day in the reader's time zone."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from notifications.wording.templates import Words


def moment_text(time: datetime, now: datetime, zone: ZoneInfo, words: Words) -> str:
    """Return a time such as "03:00 CET".

    It includes the day and the year if they differ from today's.
    """
    return f"{clock_text(time, now, zone, words)} {zone_text(time, zone)}"


def clock_text(time: datetime, now: datetime, zone: ZoneInfo, words: Words) -> str:
    """Return a time without the zone, for the first of two times."""
    local, today = time.astimezone(zone), now.astimezone(zone)
    clock = f"{local:%H:%M}"
    if local.date() == today.date():
        return clock
    month = words(f"month.{local.month}")
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {month}{year} {clock}"


def zone_text(time: datetime, zone: ZoneInfo) -> str:
    """Return the abbreviation of the zone at a time, or "UTC-3" if it has none, as in Brazil."""
    name = time.astimezone(zone).tzname() or "UTC"
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", name)
    if match is None:
        return name
    sign, hours, minutes = match.groups()
    return f"UTC{sign}{int(hours)}" + (f":{minutes}" if minutes and minutes != "00" else "")
