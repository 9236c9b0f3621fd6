"""Escalation policies: which step an alert takes when, and whom each step reaches."""

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
    """Whom a step notifies: a person, whoever is on call by a schedule, or a channel."""

    kind: Literal["person", "schedule", "channel"]
    name: Name


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Targets that are notified together, and how long they have until the next step."""

    targets: Annotated[Sequence[Target], Meta(min_length=1, max_length=TARGETS_MAX)]
    delay: WholeDuration = "5m"

    def __post_init__(self) -> None:
        """Refuse a step without targets, and a delay in which nobody can answer."""
        msgspec.structs.force_setattr(self, "targets", tuple(self.targets))
        if not self.targets:
            raise ValueError("targets must name at least one person, schedule or channel")
        if whole_seconds(self.delay) not in DELAY_S:
            raise ValueError("delay must be from 1m to 7d")


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An escalation policy: steps in order, and how often they are repeated after the last.

    The first step is taken when the alert opens, and each other one when the delay of the step
    before it has passed. After the delay of the last step, the first follows if the policy repeats.
    """

    name: Name
    title: Text = ""
    steps: Annotated[Sequence[Step], Meta(min_length=1, max_length=STEPS_MAX)]
    repeat: Annotated[int, Meta(ge=0, le=REPEAT_MAX)] = 0
    acknowledgement_expires: WholeDuration = duration_text(ACK_EXPIRES_S)
    """How long an acknowledgement stops the steps; 0: for good."""

    def __post_init__(self) -> None:
        """Refuse a policy without steps, and an acknowledgement that ends at once."""
        msgspec.structs.force_setattr(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ValueError("steps must hold at least one step")
        expires_s = whole_seconds(self.acknowledgement_expires)
        if expires_s and expires_s not in ACKNOWLEDGEMENT_EXPIRES_S:
            raise ValueError("acknowledgement_expires must be 0s, or from 5m to 7d")


class DueStep(Struct, frozen=True, kw_only=True):
    """A step that an alert takes. No other step of the alert has the same `key`."""

    at: datetime
    number: int
    """Of the step in the policy, from 1."""
    round: int
    """1, and one more with each repeat."""
    expired: int
    """How many times before, an acknowledgement had expired."""
    reason: Reason

    @property
    def key(self) -> str:
        """The same at each look, also when later acknowledgements have ended other steps."""
        return f"{self.expired}.{self.round}.{self.number}"


class Progress(Struct, frozen=True, kw_only=True):
    """How far an alert has come in its policy."""

    due: Sequence[DueStep]
    """Every step until now, oldest first."""
    next_at: datetime | None
    """When the next step is due if nothing happens to the alert; None: there is none."""


class Recipients(Struct, frozen=True, kw_only=True):
    """Whom a step reaches; each person and channel once, in the order of the targets."""

    people: tuple[str, ...]
    channels: tuple[str, ...]
    nobody_on_call: tuple[str, ...]
    """Schedules by which nobody is on call at that moment, or that do not exist."""

    @property
    def reach_anyone(self) -> bool:
        return bool(self.people or self.channels)


class Notice(Struct, frozen=True, kw_only=True):
    """A step that an alert takes, and whom it reaches."""

    step: DueStep
    recipients: Recipients


def recipients(step: Step, at: datetime, schedules: Mapping[str, Schedule]) -> Recipients:
    """Return whom a step reaches at a moment."""
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
    """Return the steps that `due_steps` returns, and whom each reaches.

    A step that reaches nobody is among them, so that it is reported. The next one follows at once,
    for waiting would help nobody; only the last step of a round keeps its delay.
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
    """Return every step that an alert has taken by `until`, in order.

    `acknowledged_at` holds every acknowledgement since the alert opened. Each stops the steps for
    `ack_expires_s` seconds; 0: for good. When the last one expires and the alert is still open, the
    step that was taken last is taken again, with the reason `acknowledgement_expired`, and the
    steps after it follow. A step that is due when the alert is acknowledged or resolved is not
    taken. After a step for which `reaches(step, at)` is false, the next one of its round follows at
    once.
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
    """Return the steps that an open alert has taken by `until`, as `due_steps`, and what follows.

    An acknowledgement lasts as long as the policy says.
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
    """Yield every step of an alert in order, those of the future too."""
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
    """Yield the spans in which no acknowledgement holds; the last one has no end.

    A span may be empty, so that an acknowledgement that comes later never changes the number of an
    earlier span.
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
    """Yield the places in the order of all rounds, from one that is taken at `start` on."""
    at = start
    for place in range(first, len(policy.steps) * (policy.repeat + 1)):
        yield place, at
        step = policy.steps[place % len(policy.steps)]
        if place % len(policy.steps) == len(policy.steps) - 1 or reaches(step, at):
            at += timedelta(seconds=whole_seconds(step.delay))
