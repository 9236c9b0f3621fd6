"""Escalation policies: computes the steps of an alert, their times and their recipients. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import takewhile
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from model.text import Name, Text
from model.times import DAY_S, WholeDuration, duration_text, whole_seconds
from notifications.oncall.schedule import Schedule, people_on_call

ACK_EXPIRES_S = 2 * 3600
STEPS_MAX = 20
TARGETS_MAX = 20
REPEAT_MAX = 100
DELAY_S = range(60, 7 * DAY_S + 1)
ACKNOWLEDGEMENT_EXPIRES_S = range(300, 7 * DAY_S + 1)

Reason = Literal["opened", "next_step", "repeat", "acknowledgement_expired"]


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipient of a step: a person, a channel, or everybody on call in a schedule."""

    kind: Literal["person", "schedule", "channel"]
    name: Name


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Targets that are notified together, and the delay until the next step."""

    targets: Annotated[Sequence[Target], Meta(min_length=1, max_length=TARGETS_MAX)]
    delay: WholeDuration = "5m"

    def __post_init__(self) -> None:
        """Refuse a step without targets, and a delay that is too short to answer or too long."""
        msgspec.structs.force_setattr(self, "targets", tuple(self.targets))
        if not self.targets:
            raise ValueError("targets must name at least one person, schedule or channel")
        if whole_seconds(self.delay) not in DELAY_S:
            raise ValueError("delay must be from 1m to 7d")


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escalation policy: steps in order, and how often they are repeated.

    The first step runs when the alert opens. Each other step runs after the delay of the step
    before it. If the policy repeats, the first step follows after the delay of the last one.
    """

    name: Name
    title: Text = ""
    steps: Annotated[Sequence[Step], Meta(min_length=1, max_length=STEPS_MAX)]
    repeat: Annotated[int, Meta(ge=0, le=REPEAT_MAX)] = 0
    acknowledgement_expires: WholeDuration = duration_text(ACK_EXPIRES_S)
    """How long an acknowledgement stops the steps. 0: until the alert is resolved."""

    def __post_init__(self) -> None:
        """Refuse a policy without steps, and an acknowledgement that expires at once."""
        msgspec.structs.force_setattr(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ValueError("steps must hold at least one step")
        expires_s = whole_seconds(self.acknowledgement_expires)
        if expires_s and expires_s not in ACKNOWLEDGEMENT_EXPIRES_S:
            raise ValueError("acknowledgement_expires must be 0s, or from 5m to 7d")


class DueStep(Struct, frozen=True, kw_only=True):
    """A step that an alert runs. Its `key` is unique among the steps of the alert."""

    at: datetime
    number: int
    """The number of the step in the policy, from 1."""
    round: int
    """1, plus one for each repetition."""
    expired: int
    """How many acknowledgements had expired before."""
    reason: Reason

    @property
    def key(self) -> str:
        """The same in every computation, whatever later acknowledgements stop."""
        return f"{self.expired}.{self.round}.{self.number}"


class Progress(Struct, frozen=True, kw_only=True):
    """The progress of an alert in its policy."""

    due: Sequence[DueStep]
    """All steps so far, oldest first."""
    next_at: datetime | None
    """The time of the next step if the alert does not change. None: there is no next step."""


class Recipients(Struct, frozen=True, kw_only=True):
    """The recipients of a step, each once, in the order of the targets."""

    people: tuple[str, ...]
    channels: tuple[str, ...]
    nobody_on_call: tuple[str, ...]
    """Schedules that have nobody on call at that time, or that do not exist."""

    @property
    def reach_anyone(self) -> bool:
        return bool(self.people or self.channels)


class Notice(Struct, frozen=True, kw_only=True):
    """A step that an alert runs, and its recipients."""

    step: DueStep
    recipients: Recipients


def recipients(step: Step, at: datetime, schedules: Mapping[str, Schedule]) -> Recipients:
    """Return the recipients of a step at a time."""
    people: list[str] = []
    nobody: list[str] = []
    for target in step.targets:
        if target.kind == "person":
            people.append(target.name)
        elif target.kind == "schedule":
            schedule = schedules.get(target.name)
            found = people_on_call(schedule, at) if schedule else ()
            people += found
            nobody += [] if found else [target.name]
    channels = [target.name for target in step.targets if target.kind == "channel"]
    return Recipients(
        people=tuple(dict.fromkeys(people)),
        channels=tuple(dict.fromkeys(channels)),
        nobody_on_call=tuple(dict.fromkeys(nobody)),
    )


def notices(
    policy: Policy,
    schedules: Mapping[str, Schedule],
    *,
    opened_at: datetime,
    acknowledged_at: Sequence[datetime] = (),
    ack_expires_s: int = ACK_EXPIRES_S,
    resolved_at: datetime | None = None,
    until: datetime,
) -> list[Notice]:
    """Return the steps of `due_steps` with their recipients.

    Steps without recipients are included, so that they are reported. After such a step, the next
    one follows at once, because waiting has no use. Only the last step of a round keeps its delay.
    """
    reached = cache(partial(recipients, schedules=schedules))
    due = due_steps(
        policy,
        opened_at=opened_at,
        acknowledged_at=acknowledged_at,
        ack_expires_s=ack_expires_s,
        resolved_at=resolved_at,
        until=until,
        reaches=lambda step, at: reached(step, at).reach_anyone,
    )
    return [
        Notice(step=each, recipients=reached(policy.steps[each.number - 1], each.at))
        for each in due
    ]


def due_steps(
    policy: Policy,
    *,
    opened_at: datetime,
    acknowledged_at: Sequence[datetime] = (),
    ack_expires_s: int = ACK_EXPIRES_S,
    resolved_at: datetime | None = None,
    until: datetime,
    reaches: Callable[[Step, datetime], bool] = lambda _step, _at: True,
) -> list[DueStep]:
    """Return all steps that an alert has run by `until`, in order.

    `acknowledged_at` has every acknowledgement since the alert opened. Each stops the steps for
    `ack_expires_s` seconds; 0: for ever. When the last one expires while the alert is open, the
    last step runs again, with the reason `acknowledgement_expired`, and the following steps
    continue from there. A step that is due at the moment of an acknowledgement or a resolution does
    not run. After a step for which `reaches(step, at)` is false, the next one of its round follows
    at once.
    """
    steps = _steps(policy, opened_at, acknowledged_at, ack_expires_s, resolved_at, reaches)
    return list(takewhile(lambda step: step.at <= until, steps))


def progress(
    policy: Policy,
    *,
    opened_at: datetime,
    acknowledged_at: Sequence[datetime] = (),
    until: datetime,
    reaches: Callable[[Step, datetime], bool],
) -> Progress:
    """Return the steps that an open alert has run by `until`, and the time of the next one.

    The rules are those of `due_steps`. An acknowledgement expires after the time of the policy.
    """
    expires_s = whole_seconds(policy.acknowledgement_expires)
    due: list[DueStep] = []
    for step in _steps(policy, opened_at, acknowledged_at, expires_s, None, reaches):
        if step.at > until:
            return Progress(due=due, next_at=step.at)
        due.append(step)
    return Progress(due=due, next_at=None)


def _steps(
    policy: Policy,
    opened_at: datetime,
    acknowledged_at: Sequence[datetime],
    ack_expires_s: int,
    resolved_at: datetime | None,
    reaches: Callable[[Step, datetime], bool],
) -> Iterator[DueStep]:
    """Yield all steps of an alert in order, including future ones."""
    place = 0
    spans = _unacknowledged(opened_at, acknowledged_at, ack_expires_s)
    for expired, (start, end) in enumerate(spans):
        stop = min([moment for moment in (end, resolved_at) if moment], default=None)
        reason: Reason = "opened" if start == opened_at else "acknowledgement_expired"
        for index, at in _places(policy, place, start, reaches):
            if stop and at >= stop:
                break
            round_, number = divmod(index, len(policy.steps))
            yield DueStep(
                at=at, number=number + 1, round=round_ + 1, expired=expired, reason=reason
            )
            place = index
            reason = "next_step" if number + 1 < len(policy.steps) else "repeat"


def _unacknowledged(
    opened_at: datetime, acknowledged_at: Sequence[datetime], ack_expires_s: int
) -> Iterator[tuple[datetime, datetime | None]]:
    """Yield the periods without an acknowledgement. The last one has no end.

    A period may be empty. That keeps the numbers of periods stable: a later acknowledgement never
    changes the number of an earlier period, which is part of a step's key.
    """
    start = opened_at
    for acknowledged in sorted(acknowledged_at):
        if acknowledged >= start:
            yield start, acknowledged
        if not ack_expires_s:
            return
        start = max(start, acknowledged + timedelta(seconds=ack_expires_s))
    yield start, None


def _places(
    policy: Policy, first: int, start: datetime, reaches: Callable[[Step, datetime], bool]
) -> Iterator[tuple[int, datetime]]:
    """Yield the steps of all rounds with their times, from step `first` at `start`.

    Steps are numbered across rounds, from 0.
    """
    at = start
    for place in range(first, len(policy.steps) * (policy.repeat + 1)):
        yield place, at
        step = policy.steps[place % len(policy.steps)]
        if place % len(policy.steps) == len(policy.steps) - 1 or reaches(step, at):
            at += timedelta(seconds=whole_seconds(step.delay))
