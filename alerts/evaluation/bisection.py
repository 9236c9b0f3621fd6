"""Searches by bisection, within a time limit, for the rules that make an evaluation fail.

`quarantine_failing` takes these steps:

1. Sort the rules by cost and examine them without composites: quarantine each that fails alone.
2. If the evaluation timed out, quarantine the costliest rules until the others fit the time limit.
3. Examine the composites, which read the results of the other rules.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import psycopg
import structlog

from alerts.evaluation.quarantine import LIMITS, Limits, Probe, candidates, fail, reason_of
from db.queries import Connection

log = structlog.get_logger()

SUSPECTS_MAX = 20
"""How many suspects are quarantined when time runs out; a retry releases those that work."""
ROUNDS_MAX = 3
TOGETHER = "evaluating all rules exceeds the time budget, and this rule is among the most expensive"


async def quarantine_failing(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    cause: psycopg.Error,
    limits: Limits = LIMITS,
) -> int:
    """Quarantine the rules that made an evaluation fail with `cause`; return the probes used."""
    search = _Search(Probe(connection, at, thresholds), limits)
    found, search.costs = await candidates(connection, at)
    data = [one.rule_id for one in found if not one.is_composite]
    data.sort(key=lambda rule_id: search.costs.get(rule_id, 0))
    await search.examine(data)
    if isinstance(cause, psycopg.errors.QueryCanceled):
        await search.make_room(data)
    search.composites = True
    if not search.is_over():
        await search.examine([one.rule_id for one in found if one.is_composite])
    log.warning(
        "rules_quarantined", rules=len(search.found), probes=search.probe.count, cause=str(cause)
    )
    return search.probe.count


class _Search:
    """One search. Rules are passed in order of cost, cheapest first."""

    def __init__(self, probe: Probe, limits: Limits) -> None:
        self.probe = probe
        self.limits = limits
        self.ends = time.monotonic() + limits.search_s
        self.costs: Mapping[int, int] = {}
        self.composites = False
        self.found: set[int] = set()

    async def examine(self, ids: Sequence[int]) -> None:
        """Evaluate rules together; if that fails, quarantine the ones that cause it."""
        fault = await self._fault(ids) if ids else None
        if fault is not None:
            await self._narrow(ids, fault, ids)

    async def _narrow(
        self, ids: Sequence[int], fault: psycopg.Error, around: Sequence[int]
    ) -> None:
        """Find the faulty rules among `ids`, of which at least one fails.

        `around` is the smallest set that failed so far, with `fault`. If the cheaper half can be
        evaluated, assume the fault is in the costlier half: probing it would be slowest.
        """
        if len(ids) == 1 or self.is_over():
            await self._conclude(ids, fault, around)
            return
        cheap, costly = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        own = await self._fault(cheap)
        if own is None:
            await self._narrow(costly, fault, around)
        else:
            await self._narrow(cheap, own, cheap)
            if not self.is_over():
                await self.examine(costly)

    async def _conclude(
        self, ids: Sequence[int], fault: psycopg.Error, around: Sequence[int]
    ) -> None:
        if len(ids) > 1:
            await self._keep(ids[-SUSPECTS_MAX:], f"{reason_of(fault)} (this rule or one like it)")
            return
        # Bisection only assumed that this rule fails, unless it was the one that was probed.
        own = fault if len(around) == 1 else await self._fault(ids)
        if own is not None:
            await self._keep(ids, reason_of(own))

    async def make_room(self, ids: Sequence[int]) -> None:
        """Quarantine the costliest remaining rules until the others fit into the time limit."""
        for _ in range(ROUNDS_MAX):
            rest = [rule_id for rule_id in ids if rule_id not in self.found]
            if not rest or await self.probe.fault(rest, self.limits.together_ms) is None:
                return
            await self._keep(self._costlier_half(rest), TOGETHER)

    def _costlier_half(self, ids: Sequence[int]) -> Sequence[int]:
        """Return the costliest rules, which together make up at least half of the total cost."""
        costs = [1 + self.costs.get(rule_id, 0) for rule_id in ids]
        kept = len(ids)
        while sum(costs[:kept]) > sum(costs) / 2:
            kept -= 1
        return ids[kept:]

    async def _fault(self, ids: Sequence[int]) -> psycopg.Error | None:
        return await self.probe.fault(ids, self.limits.probe_ms, composites=self.composites)

    async def _keep(self, ids: Sequence[int], reason: str) -> None:
        self.found.update(ids)
        await fail(self.probe.connection, ids, reason, self.probe.at)

    def is_over(self) -> bool:
        """Return whether the search has used up its time."""
        return time.monotonic() >= self.ends
