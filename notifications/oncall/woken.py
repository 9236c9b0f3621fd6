"""Computes whom a policy would have notified about past alerts, and how often at night. Pure."""

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
"""The number of an alert, the time, and the type of the row in its audit, such as `opened`."""

BEGINS = ("opened", "reopened", "unsuppressed")
ENDS = ("resolved", "suppressed")
"""A suppressed alert notifies nobody. After the suppression, it starts with the first step."""


class Night(Struct, frozen=True, kw_only=True):
    """The hours of night in the time zone of each person, by default 22:00 to 07:00."""

    start: Clock = "22:00"
    end: Clock = "07:00"


class Notified(Struct, frozen=True, kw_only=True):
    """A person whom a step would have notified."""

    at: datetime
    alert: int
    person: str
    number: int
    """The number of the step in the policy, from 1."""
    round: int
    reason: Reason
    night: date | None
    """The date of the evening before the night in which it was. None: it was not at night."""


class Unreached(Struct, frozen=True, kw_only=True):
    """A step whose schedules had nobody on call."""

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
    """The number of different nights with a notification."""


class Woken(Struct, frozen=True, kw_only=True):
    """The result for a policy. The people with the most notifications at night come first."""

    people: list[PersonCount]
    notified: list[Notified]
    unreached: list[Unreached]


class _Life(Struct, frozen=True):
    """A period in which an alert notifies people.

    `acknowledged_at` also has the acknowledgements before the period.
    """

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
    """Return whom a policy would have notified from `start` to before `end`.

    `transitions` are those of each alert since it opened, in any order. `zones` has the time zone
    of each person; others are in UTC. Recorded shifts take precedence over rotations. To evaluate
    other rotations, first convert the schedules with `as_if_always`.
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
    """Return a schedule without recorded shifts, whose rotations started by `start` at the latest.

    Turns after the former start of a rotation stay the same.
    """
    zone = zone_of(schedule.tz)
    layers = [begun_by(layer, start, zone) for layer in schedule.layers]
    return msgspec.structs.replace(schedule, layers=layers, recorded=(), recorded_until=None)


def _lives(transitions: Iterable[Transition]) -> Iterator[tuple[int, _Life]]:
    def order(transition: Transition) -> tuple[int, datetime, bool]:
        # An alert that opens and is suppressed at the same time opens first.
        return transition[0], transition[1], transition[2] not in BEGINS

    for number, group in groupby(sorted(transitions, key=order), key=lambda each: each[0]):
        for life in _lives_of([(at, kind) for _, at, kind in group]):
            yield number, life


def _lives_of(events: Sequence[tuple[datetime, str]]) -> Iterator[_Life]:
    """Yield the periods of one alert.

    An alert that is suppressed from its opening to its end has none.
    """
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
    """Return the date of the evening of the night that includes a local time. None: it is day."""
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
