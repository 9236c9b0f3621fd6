"""Evaluates every rule once a minute.

A transition, its audit row and its announcement on the bus are written in one transaction. If more
than TOGETHER_MAX alerts change in one minute, the work is split into batches of one transaction
each: first the evaluation, then suppression, then the announcements.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from importlib.resources import files

import msgspec
from msgspec import Struct

from alerts import store as alerts
from alerts.announcing import OnTransitions, announce
from alerts.clock import PassedError
from alerts.evaluation import bisection, quarantine, statement
from alerts.evaluation.quarantine import LIMITS, Limits
from alerts.evaluation.statement import Shard, TooManyError, Transition
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.suppression import suppress
from db.queries import Connection
from db.unfit import UNFIT
from model.times import utc_now

AUTO = "auto"
TOGETHER_MAX = 500
"""Most changes in one transaction: the embedded engine runs one transaction at a time."""
PAUSE_S = 0.1
"""Pause between two batches. One request runs several queries, so a shorter one would delay it."""


def built_in_rules() -> list[Rule]:
    """Return the rules of rules.toml."""
    table = tomllib.loads(files("alerts").joinpath("rules.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["rule"], list[Rule])


async def add_built_in_rules(connection: Connection) -> None:
    """Insert the built-in rules that were never inserted before."""
    async with connection.transaction():
        for rule in built_in_rules():
            await rules.insert_built_in(connection, rule, utc_now())


async def evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    dependencies: Mapping[str, Sequence[str]] | None = None,
    now: datetime | None = None,
    limits: Limits = LIMITS,
    *,
    on_transitions: Sequence[OnTransitions],
) -> list[Transition]:
    """Evaluate every rule over the windows that end at `at`, a whole minute; return transitions.

    1. Quarantine the rules that would read too many rows.
    2. Evaluate the others. If that fails, quarantine the rules that cause it and evaluate again.
    3. Apply suppression as of `now`, which is later than `at` for a missed minute.
    4. Announce the transitions.

    Returns nothing if the minute was evaluated before.
    """
    evaluation = _MinuteEvaluation(
        connection, at, thresholds, now or at, dependencies or {}, limits, on_transitions
    )
    await quarantine.quarantine_costly(connection, at)
    try:
        return await evaluation.run_without_failing()
    except PassedError:
        return []


class _MinuteEvaluation(Struct, frozen=True):
    """The evaluation of one minute."""

    connection: Connection
    at: datetime
    thresholds: Mapping[str, object]
    now: datetime
    dependencies: Mapping[str, Sequence[str]]
    limits: Limits
    on_transitions: Sequence[OnTransitions]

    async def run_without_failing(self) -> list[Transition]:
        """Evaluate, and quarantine rules that fail; if none does, retry some quarantined rules."""
        try:
            transitions = await self.run()
        except quarantine.RULE_FAULTS as fault:
            if self.connection.closed or isinstance(fault, UNFIT):
                raise
            await bisection.quarantine_failing(
                self.connection, self.at, self.thresholds, fault, self.limits
            )
            return await self.run()
        await quarantine.retry(self.connection, self.at, self.thresholds, self.limits)
        return transitions

    async def run(self) -> list[Transition]:
        """Evaluate in one transaction, or in batches if more than TOGETHER_MAX alerts change.

        Batches keep other requests from waiting for a transaction that opens 10,000 alerts.
        """
        try:
            async with self.connection.transaction():
                return await self._at_once()
        except TooManyError as found:
            return await self._in_batches(-(-found.count // TOGETHER_MAX))

    async def _at_once(self) -> list[Transition]:
        transitions = await self._evaluate(Shard(), TOGETHER_MAX)
        suppressed = await self._suppress()
        # A full batch may not be the whole: roll back, and do all of it in batches.
        if max(len(suppressed), await self._announce()) >= TOGETHER_MAX:
            raise TooManyError(len(transitions) + 1)
        return transitions + suppressed

    async def _in_batches(self, shards: int) -> list[Transition]:
        """Evaluate in shards, then apply suppression, then announce.

        This order keeps a suppressed alert from notifying anybody.
        If the process stops in between, the next minute continues: the clock moves with the last
        shard only, states of finished shards are stored, and the audit marks what is unannounced.
        """
        transitions: list[Transition] = []
        for number in range(shards):
            transitions += await self._in_batch(partial(self._evaluate, Shard(number, shards)))
        suppressed = await self._in_batch(self._suppress)
        while len(suppressed) == TOGETHER_MAX:
            transitions += suppressed
            suppressed = await self._in_batch(self._suppress)
        while await self._announce_batch() == TOGETHER_MAX:
            pass
        return transitions + suppressed

    async def _in_batch(self, work: Callable[[], Awaitable[list[Transition]]]) -> list[Transition]:
        async with self._briefly():
            return await work()

    async def _announce_batch(self) -> int:
        async with self._briefly():
            return await self._announce()

    @asynccontextmanager
    async def _briefly(self) -> AsyncIterator[None]:
        """Open a transaction after a pause in which other requests are served."""
        await asyncio.sleep(PAUSE_S)
        async with self.connection.transaction():
            yield

    async def _evaluate(self, shard: Shard, at_most: int | None = None) -> list[Transition]:
        transitions = await statement.evaluate(
            self.connection, self.at, self.thresholds, shard,
            at_most=at_most, timeout_ms=self.limits.evaluation_ms,
        )  # fmt: skip
        if shard.is_last:
            transitions += await quarantine.sync_rule_errors(self.connection, self.at)
        return transitions

    async def _suppress(self) -> list[Transition]:
        return await suppress.apply_suppression(
            self.connection, self.now, self.dependencies, at_most=TOGETHER_MAX
        )

    async def _announce(self) -> int:
        """Announce transitions of at most TOGETHER_MAX alerts; return the number of alerts."""
        return await announce(self.connection, self.now, self.on_transitions, at_most=TOGETHER_MAX)


async def drop_component(
    connection: Connection,
    component: str,
    at: datetime,
    on_transitions: Sequence[OnTransitions],
) -> bool:
    """Resolve the open alerts of a removed component; return whether there were any."""
    async with connection.transaction():
        ids = await alerts.resolve_of_components(connection, [component], at, AUTO)
        await announce(connection, at, on_transitions, alert_ids=ids)
    return bool(ids)
