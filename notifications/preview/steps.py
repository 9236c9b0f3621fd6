"""Computes the steps of a policy and their messages for an alert that nobody acknowledges. Pure."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from model.severity import Level
from notifications.oncall.escalation import DueStep, Policy, Recipients, progress
from notifications.preview.masking import masked
from notifications.preview.model import PreviewedMessage, TakenStep
from notifications.routing.reach import Reach, StepAddress


class Escalated(Struct, frozen=True):
    """The steps and messages of a policy. `goes_on` says whether more steps follow later."""

    steps: list[TakenStep]
    messages: list[PreviewedMessage]
    goes_on: bool


def escalate(
    route: str, policy: Policy, level: Level, begins_at: datetime, until: datetime, reach: Reach
) -> Escalated:
    """Return the steps and messages of a policy from `begins_at` to `until`."""
    found = progress(
        policy, opened_at=begins_at, until=until, reaches=partial(reach.reaches, level)
    )
    steps: list[TakenStep] = []
    messages: list[PreviewedMessage] = []
    for due in found.due:
        meant = reach.recipients(policy.steps[due.number - 1], due.at)
        destinations = reach.addresses(meant, level, due.at)
        steps.append(_step(route, policy, due, meant, destinations))
        messages += (_message(route, policy, due, one) for one in destinations)
    return Escalated(steps, messages, goes_on=found.next_at is not None)


def _step(
    route: str, policy: Policy, due: DueStep, meant: Recipients, destinations: Sequence[StepAddress]
) -> TakenStep:
    notified = {one.person for one in destinations}
    return TakenStep(
        at=due.at,
        route=route,
        policy=policy.name,
        step=due.number,
        round=due.round,
        reason=due.reason,
        messages=len(destinations),
        unreached=[person for person in meant.people if person not in notified],
        nobody_on_call=meant.nobody_on_call,
    )


def _message(route: str, policy: Policy, due: DueStep, to: StepAddress) -> PreviewedMessage:
    return PreviewedMessage(
        at=to.time,
        route=route,
        policy=policy.name,
        step=due.number,
        round=due.round,
        channel=to.channel,
        person=to.person,
        address=masked(to.address),
    )
