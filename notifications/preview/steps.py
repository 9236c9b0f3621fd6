"""The steps of a policy for an alert that nobody acknowledges, and their messages. Pure."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from msgspec import Struct

from model.severity import Level
from notifications.contacts.contact import send_at
from notifications.oncall.escalation import (
    DueStep,
    Policy,
    Recipients,
    due_steps,
    following_step,
    recipients,
)
from notifications.preview.masking import masked
from notifications.preview.model import PreviewedMessage, TakenStep
from notifications.routing.escalating import Reach


class Escalated(Struct, frozen=True):
    """What a policy does; `goes_on` says whether it has steps later."""

    steps: list[TakenStep]
    messages: list[PreviewedMessage]
    goes_on: bool


def escalate(
    route: str, policy: Policy, level: Level, begins_at: datetime, until: datetime, reach: Reach
) -> Escalated:
    """Return what a policy does for an alert of a level until a moment."""
    reaches = partial(reach.reaches, level)
    steps: list[TakenStep] = []
    messages: list[PreviewedMessage] = []
    for due in due_steps(policy, opened_at=begins_at, until=until, reaches=reaches):
        reached = recipients(policy.steps[due.number - 1], due.at, reach.schedules)
        told = list(_messages(route, policy, due, reached, level, reach))
        messages += told
        heard = {message.person for message in told}
        steps.append(
            TakenStep(
                at=due.at,
                route=route,
                policy=policy.name,
                step=due.number,
                round=due.round,
                reason=due.reason,
                messages=len(told),
                unreached=[person for person in reached.people if person not in heard],
                nobody_on_call=reached.nobody_on_call,
            )
        )
    later = following_step(policy, opened_at=begins_at, after=until, reaches=reaches)
    return Escalated(steps, messages, goes_on=later is not None)


def _messages(
    route: str, policy: Policy, due: DueStep, reached: Recipients, level: Level, reach: Reach
) -> Iterator[PreviewedMessage]:
    """Yield a message for each address of a step."""
    make = partial(
        PreviewedMessage, route=route, policy=policy.name, step=due.number, round=due.round
    )
    told = set()
    for one in (each for name in reached.people for each in reach.destinations.get(name, ())):
        at = send_at(one, level, due.at)
        if at is not None and (one.channel, one.address) not in told:
            told.add((one.channel, one.address))
            yield make(at=at, channel=one.channel, person=one.person, address=masked(one.address))
    for name in reached.channels:
        if name in reach.channels and (name, "") not in told:
            yield make(at=due.at, channel=name)
