"""Converts between local times of a time zone and UTC, across changes of the clocks."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

SECOND = timedelta(seconds=1)

ZoneName = Annotated[str, Meta(max_length=64)]
Local = Annotated[datetime, Meta(tz=False)]
"""A local date and time, without an offset."""
Moment = Annotated[datetime, Meta(tz=True)]


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name. Raises ValueError if it does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"tz {name!r:.60} is not a time zone; write one such as Europe/Lisbon"
        ) from None


def local_time(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the local date and time of a moment, without an offset."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


@lru_cache(maxsize=10_000)
def first_moment(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment, in UTC, at which local time is `local` or later.

    When clocks go forward, a skipped local time becomes the moment of the change. When clocks go
    back, a repeated local time is its first occurrence. This keeps the order: a later local time
    never becomes an earlier moment. The usual alternative, which moves a skipped time forward by
    the length of the gap, does not: 02:30 would become 03:30, after the moment of 03:00.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if local_time(moment, zone) == local:
        return moment
    return _jump(local.replace(tzinfo=zone, fold=1).astimezone(UTC), moment, local, zone)


def _jump(before: datetime, after: datetime, local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment when clocks skip `local`.

    Bisection between the two offsets. Clocks change at whole seconds.
    """
    early, late = before.replace(microsecond=0), after.replace(microsecond=0)
    while late - early > SECOND:
        middle = early + (late - early) // 2 // SECOND * SECOND
        if local_time(middle, zone) >= local:
            late = middle
        else:
            early = middle
    return late
