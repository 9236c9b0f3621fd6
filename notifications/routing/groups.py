"""Decides when a group of alerts is sent and what its message lists. Pure.

The rules are those of Alertmanager:

1. The first message of a group waits `group_wait` for other alerts. If an alert has been open for
   longer than that, the message is sent at once.
2. After that, the group may be sent at each multiple of `group_interval`. Changes wait for the
   next multiple.
3. If nothing changes, firing alerts are sent again at the first multiple after `repeat`.
4. An alert leaves its group after the message that it resolved. A group without alerts ends.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from model.times import whole_seconds
from notifications.routing.model import Route

MICROSECOND = timedelta(microseconds=1)
UNSUPPRESSED = "unsuppressed"
NOT_ANNOUNCED = frozenset({UNSUPPRESSED})
"""Transitions that need no message if the group has already sent the alert."""


class Timing(Struct, frozen=True):
    """The intervals of a group. `repeat` is None if the group is not repeated."""

    wait: timedelta
    interval: timedelta
    repeat: timedelta | None


class Member(Struct, frozen=True, kw_only=True):
    """An alert of a group. `waiting` has the types of its transitions that were not sent."""

    alert_id: int
    is_sent: bool
    """Whether the group has sent the alert before."""
    is_resolved: bool
    is_acknowledged: bool
    is_suppressed: bool
    """For a resolved alert: whether it was suppressed when it resolved."""
    waiting: Sequence[str] = ()


class Flush(Struct, frozen=True, kw_only=True):
    """The decisions about a group that is due.

    `changed` alerts have transitions to send. `firing` alerts are listed with them, or by
    themselves as a reminder. `passed` alerts have only transitions that need no message. `left`
    alerts leave the group.
    """

    changed: tuple[int, ...] = ()
    firing: tuple[int, ...] = ()
    passed: tuple[int, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def is_message(self) -> bool:
        return bool(self.changed or self.firing)


def timing_of(route: Route) -> Timing:
    """Return the intervals of a route's groups."""
    repeat_s = whole_seconds(route.repeat)
    return Timing(
        wait=timedelta(seconds=whole_seconds(route.group_wait)),
        interval=timedelta(seconds=whole_seconds(route.group_interval)),
        repeat=timedelta(seconds=repeat_s) if repeat_s else None,
    )


def first_flush(timing: Timing, opened_at: datetime, now: datetime) -> datetime:
    """Return when a group that starts now with an alert is first sent."""
    return now if opened_at + timing.wait <= now else now + timing.wait


def tick(timing: Timing, first_at: datetime, at: datetime) -> datetime:
    """Return the first time at or after `at` at which a group may be sent."""
    if at <= first_at:
        return first_at
    return first_at - (first_at - at) // timing.interval * timing.interval


def following_tick(timing: Timing, first_at: datetime, now: datetime) -> datetime:
    """Return the first time after `now` at which a group may be sent."""
    return tick(timing, first_at, now + MICROSECOND)


def flush(
    members: Sequence[Member], timing: Timing, sent_at: datetime | None, now: datetime
) -> Flush:
    """Return what to send of a group now. `sent_at` is the time of its last message."""
    changed = [one for one in members if _is_changed(one)]
    firing = [one for one in members if _is_firing(one) and not _is_changed(one)]
    if not changed:
        is_due = timing.repeat and sent_at and sent_at + timing.repeat <= now
        firing = [one for one in firing if is_due and not one.is_acknowledged]
    return Flush(
        changed=_ids(changed),
        firing=_ids(firing),
        passed=_ids(one for one in members if _is_passed(one)),
        left=_ids(one for one in members if one.is_resolved),
    )


def next_flush(
    timing: Timing, first_at: datetime, sent_at: datetime | None, now: datetime
) -> datetime | None:
    """Return when a group is due if nothing changes. None: never.

    If a repetition was due but had nothing to send, the group is due again after `repeat`.
    """
    if timing.repeat is None or sent_at is None:
        return None
    due_at = sent_at + timing.repeat
    return tick(timing, first_at, due_at if due_at > now else now + timing.repeat)


def _ids(members: Iterable[Member]) -> tuple[int, ...]:
    return tuple(one.alert_id for one in members)


def _is_changed(one: Member) -> bool:
    """Return whether the message must include news about an alert.

    If the group has sent an alert, it also sends that it resolved, even during a suppression. An
    alert that opened and resolved between two messages is sent, unless it was suppressed when it
    resolved.
    """
    if one.is_resolved:
        return bool(one.waiting) and (one.is_sent or not one.is_suppressed)
    if one.is_suppressed:
        return False
    return bool(set(one.waiting) - NOT_ANNOUNCED if one.is_sent else one.waiting)


def _is_firing(one: Member) -> bool:
    return one.is_sent and not one.is_resolved and not one.is_suppressed


def _is_passed(one: Member) -> bool:
    return (
        one.is_sent
        and bool(one.waiting)
        and NOT_ANNOUNCED.issuperset(one.waiting)
        and _is_firing(one)
    )
