"""Converts a request to take a shift into an override."""

from datetime import datetime

from msgspec import Struct

from model.errors import InvalidError
from notifications.oncall.schedule import SEARCH, Override, Schedule, on_call


class Taking(Struct, frozen=True, kw_only=True):
    """A request to come on call from one time to another.

    `person` replaces everyone, or only `out`. With `as_well`, `person` replaces nobody. Without
    `person`, nobody replaces `out`.
    """

    start: datetime
    until: datetime | None = None
    """None: until the people on call of the schedule change next."""
    person: str | None = None
    out: str | None = None
    as_well: bool = False


def override_of(schedule: Schedule, taking: Taking, now: datetime) -> Override:
    """Return the override for a taken shift. Raises InvalidError.

    It starts now at the earliest, because past shifts do not change.
    """
    _check_people(taking)
    start = max(taking.start, now)
    until = taking.until or on_call(schedule, start).until
    if until is None:
        raise InvalidError(
            f"until: nobody else comes on call within {SEARCH.days} days; set the end of the shift"
        )
    if until <= start:
        raise InvalidError("until must be after from, and in the future")
    if until > start + SEARCH:
        raise InvalidError(f"until may be up to {SEARCH.days} days after from")
    return Override(
        starts_at=start,
        ends_at=until,
        out=taking.out,
        in_=taking.person,
        everyone=taking.out is None and not taking.as_well,
    )


def _check_people(taking: Taking) -> None:
    if taking.as_well and (taking.out or not taking.person):
        raise InvalidError("as_well needs a person, and replaces nobody: leave out away")
    if not taking.person and not taking.out:
        raise InvalidError("person must say who takes the shift, or out who leaves it")
    if taking.person == taking.out:
        raise InvalidError("person and out must be two different people")
