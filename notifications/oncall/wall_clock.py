"""Times on the clocks of a zone, as moments: what a change of the clocks does to them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

SECOND = timedelta(seconds=1)

ZoneName = Annotated[str, Meta(max_length=64)]
Local = Annotated[datetime, Meta(tz=False)]
"""A date and time as the clocks of the zone show it, without an offset."""
Moment = Annotated[datetime, Meta(tz=True)]


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name. Raises ValueError for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"tz {name!r:.60} is not a time zone; write one such as Europe/Lisbon"
        ) from None


def local_time(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the date and time that the zone's clocks show at a moment, without an offset."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


@lru_cache(maxsize=10_000)
def first_moment(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment, in UTC, at which the zone's clocks show `local` or a later time.

    A time that the clocks leave out is the moment at which they jump over it. Of a time that they
    show twice, it is the first. So the later of two times never comes before the earlier one, which
    would not hold if a time that is left out were moved on by the length of the jump.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if local_time(moment, zone) == local:
        return moment
    return _jump(local.replace(tzinfo=zone, fold=1).astimezone(UTC), moment, local, zone)


def _jump(before: datetime, after: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks jump over `local`, by bisection: zones change at whole seconds."""
    early, late = before.replace(microsecond=0), after.replace(microsecond=0)
    while late - early > SECOND:
        middle = early + (late - early) // 2 // SECOND * SECOND
        if local_time(middle, zone) >= local:
            late = middle
        else:
            early = middle
    return late
