"""Takes the steps of escalations that are due, and ends acknowledgements that have expired."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from alerts.acts import EXPIRE, take
from alerts.announcing import OnTransitions
from alerts.clock import lock
from db.queries import Connection
from model.severity import Level
from model.times import whole_seconds
from notifications.contacts import reaching
from notifications.contacts.contact import send_at
from notifications.contacts.reaching import Destination
from notifications.oncall import schedule_store
from notifications.oncall.escalation import (
    DueStep,
    Policy,
    Step,
    due_steps,
    following_step,
    recipients,
)
from notifications.oncall.schedule import Schedule, names_in
from notifications.routing import escalation_store
from notifications.routing.escalation_store import DueEscalation, StepDelivery
from notifications.wording.values import AUTO

log = structlog.get_logger()

ESCALATIONS_TOGETHER = 100


class Reach(Struct, frozen=True, kw_only=True):
    """Everybody whom steps may reach, as of one moment."""

    schedules: dict[str, Schedule]
    destinations: dict[str, list[Destination]]
    """Where each person is reached."""
    channels: dict[str, int]
    """The numbers of enabled channels by name."""

    def reaches(self, level: Level, step: Step, at: datetime) -> bool:
        """Return whether a step reaches anybody at a moment: a channel, or a person who listens."""
        found = recipients(step, at, self.schedules)
        people = (one for person in found.people for one in self.destinations.get(person, ()))
        return any(name in self.channels for name in found.channels) or any(
            send_at(one, level, at) is not None for one in people
        )


async def expire_due(
    connection: Connection, now: datetime, *, on_transitions: Sequence[OnTransitions]
) -> int:
    """End some acknowledgements that have expired; return how many there were.

    In a transaction of its own. The evaluation clock is locked only when there is one to end,
    because an evaluation may hold it for a while.
    """
    if not await escalation_store.expired(connection, now, ESCALATIONS_TOGETHER):
        return 0
    async with connection.transaction():
        await lock(connection)
        expired = await escalation_store.expired(connection, now, ESCALATIONS_TOGETHER)
        for one in expired:
            comment = f"not resolved within {one.expires_s} s, as policy {one.policy} allows"
            await take(connection, EXPIRE, one.alert_id, now, AUTO, on_transitions, comment)
    return len(expired)


async def escalate_due(connection: Connection, now: datetime) -> int:
    """Take the due steps of some escalations; return how many escalations there were.

    In a transaction of its own. Row locks keep other replicas from taking the same steps.
    """
    async with connection.transaction():
        due = await escalation_store.due(connection, now, ESCALATIONS_TOGETHER)
        if due:
            policies, start = [one.policy for one in due], min(one.started_at for one in due)
            reach = await read_reach(connection, policies, start, now)
            await _escalate(connection, due, reach, now)
    return len(due)


async def read_reach(
    connection: Connection, policies: Sequence[Policy], start: datetime, end: datetime
) -> Reach:
    """Read whom policies may reach from one moment to another."""
    targets = [target for one in policies for step in one.steps for target in step.targets]
    found = {s.name: s for _, s in await schedule_store.load_all(connection, start, end)}
    schedules = {t.name: found[t.name] for t in targets if t.kind == "schedule" and t.name in found}
    people = {target.name for target in targets if target.kind == "person"}
    for schedule in schedules.values():
        people |= names_in(schedule, start)
        people |= {name for shift in schedule.recorded for name in shift.people}
    destinations: dict[str, list[Destination]] = {}
    for destination in await reaching.destinations(connection, people):
        destinations.setdefault(destination.person, []).append(destination)
    channels = await escalation_store.channels(
        connection, [target.name for target in targets if target.kind == "channel"]
    )
    return Reach(schedules=schedules, destinations=destinations, channels=channels)


class _Taken(Struct, frozen=True):
    """Steps of an escalation that are due now, oldest first, and the next one's time."""

    escalation: DueEscalation
    steps: Sequence[DueStep]
    next_at: datetime | None


async def _escalate(
    connection: Connection, due: Sequence[DueEscalation], reach: Reach, now: datetime
) -> None:
    taken = [_taken(one, reach, now) for one in due]
    deliveries = [each for one in taken for each in _deliveries(one, reach, now)]
    wanted = {each.step_key for each in deliveries}
    said = [
        (_key(one.escalation, step), one.escalation.alert_id, _said(one.escalation, step))
        for one in taken
        for step in one.steps
    ]
    notifications = await escalation_store.announce(
        connection, now, [each for each in said if each[0] in wanted]
    )
    await escalation_store.deliver(connection, notifications, deliveries)
    await escalation_store.take(
        connection,
        [(one.escalation.id, [step.key for step in one.steps], one.next_at) for one in taken],
    )


def _taken(escalation: DueEscalation, reach: Reach, now: datetime) -> _Taken:
    reaches = partial(reach.reaches, escalation.level)
    expires_s = whole_seconds(escalation.policy.acknowledgement_expires)
    due = due_steps(
        escalation.policy,
        opened_at=escalation.started_at,
        acknowledged_at=escalation.acknowledged_at,
        ack_expires_s=expires_s,
        until=now,
        reaches=reaches,
    )
    following = following_step(
        escalation.policy,
        opened_at=escalation.started_at,
        acknowledged_at=escalation.acknowledged_at,
        ack_expires_s=expires_s,
        after=now,
        reaches=reaches,
    )
    steps = [step for step in due if step.key not in escalation.taken]
    return _Taken(escalation, steps, following.at if following else None)


def _deliveries(taken: _Taken, reach: Reach, now: datetime) -> list[StepDelivery]:
    """Return the messages of steps that are due together, as after an outage.

    Each address gets one, about the newest step that reaches it: older ones tell it nothing more.
    """
    found: dict[tuple[int, str], StepDelivery] = {}
    for step in reversed(taken.steps):
        before = len(found)
        for each in _of_step(taken.escalation, step, reach, now):
            found.setdefault((each.channel_id, each.address), each)
        if len(found) == before:
            _report(taken.escalation, step, reach)
    return list(found.values())[::-1]


def _of_step(
    escalation: DueEscalation, step: DueStep, reach: Reach, now: datetime
) -> Iterable[StepDelivery]:
    """Yield the messages of one step: to whoever was reached when it was due."""
    reached = recipients(escalation.policy.steps[step.number - 1], step.at, reach.schedules)
    make = partial(
        StepDelivery,
        step_key=_key(escalation, step),
        alert_id=escalation.alert_id,
        step=step.number,
    )
    for one in (each for name in reached.people for each in reach.destinations.get(name, ())):
        time = send_at(one, escalation.level, now)
        if time is not None:
            yield make(
                channel_id=one.channel_id,
                channel=one.channel,
                place=f"{one.contact_id}-{one.place}",
                time=time,
                address=one.address,
                person=one.person,
            )
    for name in reached.channels:
        if name in reach.channels:
            number = reach.channels[name]
            yield make(channel_id=number, channel=name, place=str(number), time=now)


def _report(escalation: DueEscalation, step: DueStep, reach: Reach) -> None:
    """Log a step that reaches nobody; its policy needs a change."""
    found = recipients(escalation.policy.steps[step.number - 1], step.at, reach.schedules)
    log.warning(
        "step_reaches_nobody",
        alert=escalation.alert_id,
        policy=escalation.policy.name,
        step=step.number,
        nobody_on_call=found.nobody_on_call,
    )


def _key(escalation: DueEscalation, step: DueStep) -> str:
    """Return what the keys of a step's messages begin with: alert, transition and step.

    The escalation's number keeps apart two policies that an alert goes through.
    """
    parts = (escalation.alert_id, escalation.transition_id, f"{escalation.id}.{step.key}")
    return "-".join(("alert", *map(str, parts)))


def _said(escalation: DueEscalation, step: DueStep) -> dict[str, object]:
    """Return what a message says of its step."""
    said: dict[str, object] = {"number": step.number, "of": len(escalation.policy.steps)}
    if step.reason == "acknowledgement_expired":
        said["expired"] = {
            "person": escalation.acknowledged_by,
            "after_s": whole_seconds(escalation.policy.acknowledgement_expires),
        }
    return said
