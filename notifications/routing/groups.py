"""When a group of alerts is sent, and what its message lists: Alertmanager's dispatching. Pure.

1. The first message of a group waits `group_wait` for other alerts; for an alert that has been open
   for longer than that, it goes at once.
2. From then on the group may be sent at each multiple of `group_interval`: what changes meanwhile
   waits for the next.
3. While nothing changes, what fires is sent again after `repeat`, at such a multiple as well.
4. An alert whose end was sent leaves its group. A group without alerts ends.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from model.times import whole_seconds
from notifications.routing.model import Route

MICROSECOND = timedelta(microseconds=1)
UNSUPPRESSED = "unsuppressed"
UNHEARD = frozenset({UNSUPPRESSED})
"""Of an alert that was sent before, these change nothing that anybody was told."""


class Timing(Struct, frozen=True):
    """How long a group waits."""

    wait: timedelta
    interval: timedelta
    repeat: timedelta | None


class Member(Struct, frozen=True, kw_only=True):
    """An alert of a group; `waiting` are the types of its transitions that were not sent yet."""

    alert_id: int
    is_sent: bool
    """Whether a message of the group had it."""
    is_resolved: bool
    is_acknowledged: bool
    is_suppressed: bool
    """Of a resolved one, whether it was when it ended."""
    waiting: Sequence[str] = ()


class Flush(Struct, frozen=True, kw_only=True):
    """What happens to a group when its time has come.

    `changed` have transitions to send, `firing` are listed with them, or alone as a reminder.
    `passed` have transitions that nobody needs to hear of, and `left` leave the group.
    """

    changed: tuple[int, ...] = ()
    firing: tuple[int, ...] = ()
    passed: tuple[int, ...] = ()
    left: tuple[int, ...] = ()

    @property
    def is_message(self) -> bool:
        return bool(self.changed or self.firing)


def timing_of(route: Route) -> Timing:
    """Return how long the groups of a route wait."""
    repeat_s = whole_seconds(route.repeat)
    return Timing(
        wait=timedelta(seconds=whole_seconds(route.group_wait)),
        interval=timedelta(seconds=whole_seconds(route.group_interval)),
        repeat=timedelta(seconds=repeat_s) if repeat_s else None,
    )


def first_flush(timing: Timing, opened_at: datetime, now: datetime) -> datetime:
    """Return when a group that an alert begins now is sent for the first time."""
    return now if opened_at + timing.wait <= now else now + timing.wait


def tick(timing: Timing, first_at: datetime, at: datetime) -> datetime:
    """Return the first moment not before `at` at which a group may be sent."""
    if at <= first_at:
        return first_at
    return first_at - (first_at - at) // timing.interval * timing.interval


def following_tick(timing: Timing, first_at: datetime, now: datetime) -> datetime:
    """Return the first moment after now at which a group may be sent."""
    return tick(timing, first_at, now + MICROSECOND)


def flush(
    members: Sequence[Member], timing: Timing, sent_at: datetime | None, now: datetime
) -> Flush:
    """Return what is sent of a group now, last sent at `sent_at`."""
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
    """Return when a group is to be sent again if nothing changes; None: never.

    A group of which there was nothing to send now is looked at again after `repeat`.
    """
    if timing.repeat is None or sent_at is None:
        return None
    due_at = sent_at + timing.repeat
    return tick(timing, first_at, due_at if due_at > now else now + timing.repeat)


def _ids(members: Iterable[Member]) -> tuple[int, ...]:
    return tuple(one.alert_id for one in members)


def _is_changed(one: Member) -> bool:
    """Return whether a message has to say something new of an alert.

    Whoever was told of an alert hears of its end, also while it is suppressed. One that began and
    ended between two messages is sent whole, unless it was suppressed in the end.
    """
    if one.is_resolved:
        return bool(one.waiting) and (one.is_sent or not one.is_suppressed)
    if one.is_suppressed:
        return False
    return bool(set(one.waiting) - UNHEARD if one.is_sent else one.waiting)


def _is_firing(one: Member) -> bool:
    return one.is_sent and not one.is_resolved and not one.is_suppressed


def _is_passed(one: Member) -> bool:
    return one.is_sent and bool(one.waiting) and UNHEARD.issuperset(one.waiting) and _is_firing(one)
