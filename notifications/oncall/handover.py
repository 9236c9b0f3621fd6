"""Hand-overs: when other people come on call, to tell those who leave and those who arrive."""

from datetime import datetime, timedelta
from itertools import pairwise

from msgspec import Struct

from notifications.oncall.schedule import Schedule, on_call, shifts

INSTANT = timedelta(microseconds=1)


class Handover(Struct, frozen=True, kw_only=True):
    """A moment at which the people of a schedule change."""

    schedule: str
    at: datetime
    leaving: tuple[str, ...]
    arriving: tuple[str, ...]
    people: tuple[str, ...]
    """Who is on call from now on: nobody, if it is empty."""
    until: datetime | None
    """When the people change next; None: not for over a year."""


def handovers(schedule: Schedule, after: datetime, until: datetime) -> list[Handover]:
    """Return the hand-overs after one moment, up to and with another.

    Called with the moment of the last call and that of this one, it returns each of them once.
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
