"""Range evaluation of a policy: whom the alerts of the past would have notified, and at night."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from notifications.oncall.escalation import ACK_EXPIRES_S, Notice, Policy, Reason, notices
from notifications.oncall.rotation import Clock, begun_by, since_midnight
from notifications.oncall.schedule import Schedule
from notifications.oncall.wall_clock import local_time, zone_of

Transition = tuple[int, datetime, str]
"""An alert's number, when, and the type of its audit's row, such as `opened`."""

BEGINS = ("opened", "reopened", "unsuppressed")
ENDS = ("resolved", "suppressed")
"""A held alert notifies nobody. When it is released, it begins with the first step."""


class Night(Struct, frozen=True, kw_only=True):
    """Which hours are night, on the clock of each person; by default 22:00 to 07:00."""

    start: Clock = "22:00"
    end: Clock = "07:00"


class Notified(Struct, frozen=True, kw_only=True):
    """A person whom a step would have notified."""

    at: datetime
    alert: int
    person: str
    number: int
    """Of the step in the policy, from 1."""
    round: int
    reason: Reason
    night: date | None
    """The night in which the person would have been woken, by its evening; None: it was day."""


class Unreached(Struct, frozen=True, kw_only=True):
    """A step for which schedules had nobody on call."""

    at: datetime
    alert: int
    number: int
    schedules: tuple[str, ...]


class PersonCount(Struct, frozen=True, kw_only=True):
    """How often a person would have been notified."""

    person: str
    notified: int
    alerts: int
    at_night: int
    nights: int
    """In how many different nights."""


class Woken(Struct, frozen=True, kw_only=True):
    """What a policy would have done; people who would have been woken most come first."""

    people: list[PersonCount]
    notified: list[Notified]
    unreached: list[Unreached]


class _Life(Struct, frozen=True):
    """A span in which an alert notifies people, and when it was acknowledged, also before it."""

    opened_at: datetime
    acknowledged_at: Sequence[datetime]
    ended_at: datetime | None


def woken(
    transitions: Iterable[Transition],
    policy: Policy,
    schedules: Mapping[str, Schedule],
    zones: Mapping[str, str],
    *,
    start: datetime,
    end: datetime,
    ack_expires_s: int = ACK_EXPIRES_S,
    night: Night | None = None,
) -> Woken:
    """Return whom a policy would have notified from `start` to `end`, exclusive.

    `transitions` are those of each alert since it opened, in any order. `zones` holds the time zone
    of each person; whoever is missing lives in UTC. Recorded shifts are taken as they are; to try
    other rotations on the past, pass schedules through `as_if_always` first.
    """
    found = [
        (number, notice)
        for number, life in _lives(transitions)
        for notice in notices(
            policy,
            schedules,
            opened_at=life.opened_at,
            acknowledged_at=life.acknowledged_at,
            ack_expires_s=ack_expires_s,
            resolved_at=life.ended_at,
            until=end,
        )
        if start <= notice.step.at < end
    ]
    found.sort(key=lambda pair: (pair[1].step.at, pair[0]))
    notified = [
        _notified(number, notice, person, night or Night(), zone_of(zones.get(person, "UTC")))
        for number, notice in found
        for person in notice.recipients.people
    ]
    return Woken(people=_counts(notified), notified=notified, unreached=_unreached(found))


def as_if_always(schedule: Schedule, start: datetime) -> Schedule:
    """Return a schedule whose rotations have begun by `start`, and without recorded shifts.

    Turns from the former start of a rotation on stay as they are.
    """
    zone = zone_of(schedule.tz)
    layers = [begun_by(layer, start, zone) for layer in schedule.layers]
    return msgspec.structs.replace(schedule, layers=layers, recorded=(), recorded_until=None)


def _lives(transitions: Iterable[Transition]) -> Iterator[tuple[int, _Life]]:
    def order(transition: Transition) -> tuple[int, datetime, bool]:
        # What opens as it is held, opens first.
        return transition[0], transition[1], transition[2] not in BEGINS

    for number, group in groupby(sorted(transitions, key=order), key=lambda each: each[0]):
        for life in _lives_of([(at, kind) for _, at, kind in group]):
            yield number, life


def _lives_of(events: Sequence[tuple[datetime, str]]) -> Iterator[_Life]:
    """Yield the lives of one alert. What was held and resolves before it is released has none."""
    acknowledged: list[datetime] = []
    opened_at: datetime | None = None
    is_open = False
    for at, kind in events:
        if kind == "acknowledged":
            acknowledged.append(at)
        elif kind in ENDS:
            if opened_at:
                yield _Life(opened_at, acknowledged, at)
            opened_at, is_open = None, is_open and kind != "resolved"
        elif kind in BEGINS and (is_open or kind != "unsuppressed") and opened_at is None:
            acknowledged = acknowledged if kind == "unsuppressed" else []
            opened_at, is_open = at, True
    if opened_at:
        yield _Life(opened_at, acknowledged, None)


def _notified(alert: int, notice: Notice, person: str, night: Night, zone: ZoneInfo) -> Notified:
    step = notice.step
    return Notified(
        at=step.at,
        alert=alert,
        person=person,
        number=step.number,
        round=step.round,
        reason=step.reason,
        night=_night_of(local_time(step.at, zone), night),
    )


def _night_of(local: datetime, night: Night) -> date | None:
    """Return the day in whose evening the night of a local time began, if it is night."""
    clock = timedelta(hours=local.hour, minutes=local.minute)
    start, end = since_midnight(night.start), since_midnight(night.end)
    is_night = start <= clock < end if start < end else clock >= start or clock < end
    return (local - end).date() if is_night else None


def _unreached(found: Sequence[tuple[int, Notice]]) -> list[Unreached]:
    return [
        Unreached(
            at=notice.step.at,
            alert=number,
            number=notice.step.number,
            schedules=notice.recipients.nobody_on_call,
        )
        for number, notice in found
        if notice.recipients.nobody_on_call
    ]


def _counts(notified: Sequence[Notified]) -> list[PersonCount]:
    by_person: dict[str, list[Notified]] = {}
    for each in notified:
        by_person.setdefault(each.person, []).append(each)
    counts = [
        PersonCount(
            person=person,
            notified=len(own),
            alerts=len({each.alert for each in own}),
            at_night=sum(each.night is not None for each in own),
            nights=len({each.night for each in own if each.night}),
        )
        for person, own in by_person.items()
    ]
    return sorted(counts, key=lambda count: (-count.at_night, -count.notified, count.person))
