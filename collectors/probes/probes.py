"""Targets outside, all asked at once in each slot: none delays another."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

import structlog

from collectors.collector import Put, deadline_of, reason_of
from collectors.metrics import samples_of, series_of
from collectors.probes.ngrok import Agent
from collectors.probes.probe import Asked, ask
from model.limits import COLLECT_TIMEOUT_S_MAX
from model.series import COMPONENT_UP, Category, Sample
from model.targets import Target
from runtime.network.egress import Egress
from runtime.schedule import SlotStats, every

GAP_S = 0.01
SPREAD_SHARE = 0.1
"""Targets start a little apart, in all within a share of the deadline: they would measure how long
they wait for each other."""

log = structlog.get_logger()


Probe = Callable[[Egress, datetime, float], Awaitable[Asked | None]]
"""Asks one target at a time within seconds; None says that it is not there to be judged."""


class Probes:
    """What is done in a slot: each target's samples go to `put` as soon as they are there."""

    def __init__(self, targets: Callable[[], Sequence[Target]], egress: Egress, put: Put) -> None:
        self._targets = targets
        self._egress = egress
        self._put = put
        self._probes: dict[Target, Probe] = {}
        self._reasons: dict[str, str] = {}

    async def take(self, time: datetime, deadline_s: float = COLLECT_TIMEOUT_S_MAX) -> None:
        """Ask every enabled target. What a probe raises is that target's failure alone."""
        targets = [target for target in self._targets() if target.enabled]
        self._probes = {each: self._probes.get(each) or probe_of(each) for each in targets}
        self._reasons = {each.name: self._reasons.get(each.name, "") for each in targets}
        gap_s = min(GAP_S, deadline_s * SPREAD_SHARE / max(1, len(targets)))
        asked = [
            self._take(target, time, deadline_s, place * gap_s)
            for place, target in enumerate(targets)
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        for target, outcome in zip(targets, outcomes, strict=True):
            if outcome is not None:
                self._put([self._up(target.name, time, reason_of(outcome))])

    async def _take(self, target: Target, time: datetime, deadline_s: float, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        timeout_s = min(target.timeout_s, deadline_s)
        asked = await self._probes[target](self._egress, time, timeout_s)
        if asked is not None:
            samples = samples_of(asked.readings, target.name, Category.EXTERNAL, time)
            self._put([*samples, self._up(target.name, time, asked.reason)])

    def _up(self, name: str, time: datetime, reason: str) -> Sample:
        if reason != self._reasons[name]:
            log.info("component_up", component=name, up=not reason, reason=reason)
            self._reasons[name] = reason
        series = series_of(COMPONENT_UP, name, Category.EXTERNAL)
        return Sample(series, time, 0.0 if reason else 1.0, reason)


def probe_of(target: Target) -> Probe:
    """Build what asks this kind of target; another kind is another line."""
    match target.kind:
        case "http":
            return partial(ask, target)
        case "ngrok":
            return Agent(target).ask


async def probe_every(
    interval_s: Callable[[], float],
    targets: Callable[[], Sequence[Target]],
    egress: Egress,
    put: Put,
    stats: SlotStats,
) -> None:
    """Ask the targets in every slot, for ever; a target that was changed counts from the next."""
    probes = Probes(targets, egress, put)

    async def take(time: datetime) -> None:
        await probes.take(time, deadline_of(interval_s()))

    await every(interval_s, take, stats)
