"""Finds hand-overs: times at which other people come on call."""

from datetime import datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from notifications.oncall.schedule import Schedule, on_call, shifts

INSTANT = timedelta(microseconds=1)


class Handover(Struct, frozen=True, kw_only=True):
    """A time at which the people on call of a schedule change."""

    schedule: str
    at: datetime
    leaving: tuple[str, ...]
    arriving: tuple[str, ...]
    people: tuple[str, ...]
    """The people on call from then on. Empty: nobody is."""
    until: datetime | None
    """When the people change again. None: not within 400 days."""


def handovers(schedule: Schedule, after: datetime, until: datetime) -> list[Handover]:
    """Return the hand-overs after `after`, up to and including `until`.

    Consecutive calls, each starting where the last one ended, return every hand-over once.
    """
    found = shifts(schedule, after, until + INSTANT)
    return [
        Handover(
            schedule=schedule.name,
            at=now.starts_at,
            leaving=tuple(person for person in before.people if person not in now.people),
            arriving=tuple(person for person in now.people if person not in before.people),
            people=tuple(now.people),
            until=on_call(schedule, now.starts_at).until,
        )
        for before, now in pairwise(found)
    ]
