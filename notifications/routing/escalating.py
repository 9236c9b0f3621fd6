"""Runs the escalation steps that are due, and ends expired acknowledgements."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from alerts.acts import EXPIRE, take
from alerts.announcing import OnTransitions
from alerts.clock import lock
from db.queries import Connection
from model.times import whole_seconds
from notifications.oncall.escalation import DueStep, Recipients, progress
from notifications.routing import escalation_store
from notifications.routing.escalation_store import DueEscalation, StepDelivery
from notifications.routing.reach import Reach, StepAddress, read_reach
from notifications.wording.values import AUTO

log = structlog.get_logger()

ESCALATIONS_TOGETHER = 100


async def expire_due(
    connection: Connection, now: datetime, *, on_transitions: Sequence[OnTransitions]
) -> int:
    """End a batch of expired acknowledgements and return how many there were.

    It opens its own transaction. It locks the evaluation clock only if an acknowledgement has
    expired, because an evaluation may hold that lock for some time.
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


class ReachedStep(Struct, frozen=True):
    """A due step, the people and channels that it names, and the addresses that it notifies."""

    step: DueStep
    meant: Recipients
    addresses: Sequence[StepAddress]


class Taken(Struct, frozen=True):
    """The due steps of an escalation, oldest first, and the time of the next step."""

    escalation: DueEscalation
    steps: Sequence[ReachedStep]
    next_at: datetime | None


async def escalate_due(connection: Connection, now: datetime) -> int:
    """Run the due steps of a batch of escalations and return the number of escalations.

    It opens its own transaction. Row locks prevent other replicas from running the same steps. The
    recipients are computed in a thread, because a schedule may take milliseconds for each step.
    """
    async with connection.transaction():
        due = await escalation_store.due(connection, now, ESCALATIONS_TOGETHER)
        if due:
            policies, start = [one.policy for one in due], min(one.started_at for one in due)
            reach = await read_reach(connection, policies, start, now)
            await _write(connection, await asyncio.to_thread(take_steps, due, reach, now), now)
    return len(due)


def take_steps(due: Sequence[DueEscalation], reach: Reach, now: datetime) -> list[Taken]:
    """Return the due steps of escalations."""
    return [_taken(one, reach, now) for one in due]


def _taken(escalation: DueEscalation, reach: Reach, now: datetime) -> Taken:
    policy, level = escalation.policy, escalation.level
    found = progress(
        policy,
        opened_at=escalation.started_at,
        acknowledged_at=escalation.acknowledged_at,
        until=now,
        reaches=partial(reach.reaches, level),
    )
    steps = []
    for step in found.due:
        if step.key not in escalation.taken:
            # The person who was on call when the step was due is notified. Mute and quiet hours
            # count as of now.
            meant = reach.recipients(policy.steps[step.number - 1], step.at)
            steps.append(ReachedStep(step, meant, reach.addresses(meant, level, now)))
    return Taken(escalation, steps, found.next_at)


async def _write(connection: Connection, taken: Sequence[Taken], now: datetime) -> None:
    deliveries = [each for one in taken for each in deliveries_of(one)]
    wanted = {each.step_key for each in deliveries}
    contents = [
        (
            _key(one.escalation, each.step),
            one.escalation.alert_id,
            _step_data(one.escalation, each.step),
        )
        for one in taken
        for each in one.steps
    ]
    notifications = await escalation_store.announce(
        connection, now, [each for each in contents if each[0] in wanted]
    )
    await escalation_store.deliver(connection, notifications, deliveries)
    await escalation_store.take(
        connection,
        [(one.escalation.id, [each.step.key for each in one.steps], one.next_at) for one in taken],
    )
    for one in taken:
        _report(one)


def deliveries_of(taken: Taken) -> list[StepDelivery]:
    """Return the messages of steps that are due together, as after an outage.

    Each address gets one message, about the newest step that notifies it. Earlier steps would add
    nothing.
    """
    found: dict[tuple[int, str], StepDelivery] = {}
    for each in reversed(taken.steps):
        for address in each.addresses:
            place = (address.channel_id, address.address)
            found.setdefault(place, _delivery(taken.escalation, each.step, address))
    return list(found.values())[::-1]


def _delivery(escalation: DueEscalation, step: DueStep, to: StepAddress) -> StepDelivery:
    return StepDelivery(
        step_key=_key(escalation, step),
        alert_id=escalation.alert_id,
        step=step.number,
        channel_id=to.channel_id,
        channel=to.channel,
        place=to.place,
        time=to.time,
        address=to.address,
        person=to.person,
    )


def _report(taken: Taken) -> None:
    """Log each step that notifies nobody, because its policy needs a change."""
    for each in taken.steps:
        if not each.addresses:
            log.warning(
                "step_reaches_nobody",
                alert=taken.escalation.alert_id,
                policy=taken.escalation.policy.name,
                step=each.step.number,
                nobody_on_call=each.meant.nobody_on_call,
            )


def _key(escalation: DueEscalation, step: DueStep) -> str:
    """Return the beginning of the keys of a step's messages: alert, transition and step.

    It contains the number of the escalation, because an alert may run two policies.
    """
    parts = (escalation.alert_id, escalation.transition_id, f"{escalation.id}.{step.key}")
    return "-".join(("alert", *map(str, parts)))


def _step_data(escalation: DueEscalation, step: DueStep) -> dict[str, object]:
    """Return the data about a step that its message contains."""
    contents: dict[str, object] = {"number": step.number, "of": len(escalation.policy.steps)}
    if step.reason == "acknowledgement_expired":
        contents["expired"] = {
            "person": escalation.acknowledged_by,
            "after_s": whole_seconds(escalation.policy.acknowledgement_expires),
        }
    return contents
