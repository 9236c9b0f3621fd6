"""Probes all targets in each slot, at the same time, so that none delays another."""

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
"""The starts of all probes are spread over this fraction of the deadline. Started together, they
would measure how long they wait for one another."""

log = structlog.get_logger()


Probe = Callable[[Egress, datetime, float], Awaitable[Asked | None]]
"""Probes one target: takes the client, the slot and a timeout in seconds. It returns None for a
target that must not be reported as up or down."""


class Probes:
    """Probes the targets in one slot. The samples of each go to `put` as soon as it answers."""

    def __init__(self, targets: Callable[[], Sequence[Target]], egress: Egress, put: Put) -> None:
        self._targets = targets
        self._egress = egress
        self._put = put
        self._probes: dict[Target, Probe] = {}
        self._reasons: dict[str, str] = {}

    async def take(self, time: datetime, deadline_s: float = COLLECT_TIMEOUT_S_MAX) -> None:
        """Probe every enabled target. An exception in one probe fails only its own target."""
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
    """Return the probe for a kind of target."""
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
    """Probe the targets in every slot, for ever. A changed target takes effect in the next slot."""
    probes = Probes(targets, egress, put)

    async def take(time: datetime) -> None:
        await probes.take(time, deadline_of(interval_s()))

    await every(interval_s, take, stats)
