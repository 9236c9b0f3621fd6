"""Evaluates every rule once a minute, and puts what happened on the bus in the same transaction."""

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
"""Changes in one transaction; the embedded engine serves nobody else meanwhile."""
PAUSE_S = 0.1
"""Between two of them, because one request asks several times."""


def built_in_rules() -> list[Rule]:
    """Return the rules of rules.toml."""
    table = tomllib.loads(files("alerts").joinpath("rules.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["rule"], list[Rule])


async def add_built_in_rules(connection: Connection) -> None:
    """Insert the built-in rules that are not there yet."""
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
    on_transitions: Sequence[OnTransitions] = (),
) -> list[Transition]:
    """Evaluate the windows that end at a whole minute; return the transitions of alerts.

    Suppression is that of `now`, when people would be notified: it may be later. A rule that this
    fails of is quarantined, so that it is in nobody's way. A minute that is over is skipped.
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
        """Evaluate, without rules that this fails of; and try again some that were quarantined."""
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
        """Evaluate in one transaction, or in several when much changes.

        So nobody waits long for one that opens ten thousand alerts.
        """
        try:
            async with self.connection.transaction():
                return await self._at_once()
        except TooManyError as found:
            return await self._in_batches(-(-found.count // TOGETHER_MAX))

    async def _at_once(self) -> list[Transition]:
        transitions = await self._evaluate(Shard(), TOGETHER_MAX)
        suppressed = await self._suppress()
        if max(len(suppressed), await self._announce()) >= TOGETHER_MAX:
            raise TooManyError(len(transitions) + 1)
        return transitions + suppressed

    async def _in_batches(self, shards: int) -> list[Transition]:
        """Evaluate in shards, then suppress, then announce: a suppressed alert notifies nobody.

        Should it end before that, the next minute is evaluated as if the clock had stood still
        for what is done, and announces it.
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
        """Let others be served before a transaction."""
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
        """Announce alerts with unannounced transitions; return how many there were."""
        return await announce(self.connection, self.now, self.on_transitions, at_most=TOGETHER_MAX)


async def drop_component(
    connection: Connection,
    component: str,
    at: datetime,
    on_transitions: Sequence[OnTransitions] = (),
) -> bool:
    """Resolve the open alerts of a component that is no longer watched; True if there were any."""
    async with connection.transaction():
        ids = await alerts.resolve_of_components(connection, [component], at, AUTO)
        await announce(connection, at, on_transitions, alert_ids=ids)
    return bool(ids)
