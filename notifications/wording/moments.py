"""Times of day in the reader's zone."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from notifications.wording.templates import Words


def moment_text(time: datetime, now: datetime, zone: ZoneInfo, words: Words) -> str:
    """Return such as "03:00 CET"; with its day where that is not today, and its year likewise."""
    return f"{clock_text(time, now, zone, words)} {zone_text(time, zone)}"


def clock_text(time: datetime, now: datetime, zone: ZoneInfo, words: Words) -> str:
    """Return the same without the zone, for the first of two times."""
    local, today = time.astimezone(zone), now.astimezone(zone)
    clock = f"{local:%H:%M}"
    if local.date() == today.date():
        return clock
    month = words(f"month.{local.month}")
    year = "" if local.year == today.year else f" {local.year}"
    return f"{local.day} {month}{year} {clock}"


def zone_text(time: datetime, zone: ZoneInfo) -> str:
    """Return the zone's abbreviation at a time; "UTC-3" where it has none, as in Brazil."""
    name = time.astimezone(zone).tzname() or "UTC"
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", name)
    if match is None:
        return name
    sign, hours, minutes = match.groups()
    return f"UTC{sign}{int(hours)}" + (f":{minutes}" if minutes and minutes != "00" else "")
