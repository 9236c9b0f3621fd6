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

from db import alerts, culprits, evaluation, events, faults, holds, rules
from db.evaluation import PassedError, Share, Step, TooManyError
from db.faults import LIMITS, Limits
from db.queries import Connection
from db.rules import Rule
from db.unfit import UNFIT
from vigia.model import utc_now

AUTO = "auto"
TOGETHER_MAX = 500
"""Changes in one transaction; the embedded engine serves nobody else meanwhile."""
PAUSE_S = 0.1
"""Between two of them, because one request asks several times."""


def shipped_rules() -> list[Rule]:
    """Return the rules of rules.toml."""
    table = tomllib.loads(files("alerts").joinpath("rules.toml").read_text(encoding="utf-8"))
    return msgspec.convert(table["rule"], list[Rule])


async def add_shipped_rules(connection: Connection) -> None:
    """Insert the shipped rules that are not there yet."""
    async with connection.transaction():
        for rule in shipped_rules():
            await rules.ship(connection, rule, utc_now())


async def evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    ancestors: Mapping[str, Sequence[str]] | None = None,
    now: datetime | None = None,
    limits: Limits = LIMITS,
) -> list[Step]:
    """Evaluate the windows that end at a whole minute; return the steps that alerts took.

    What holds alerts back is that of `now`, when people would be told: it may be later. A rule that
    this fails of is set aside, so that it is in nobody's way. A minute that is over is skipped.
    """
    turn = _Turn(connection, at, thresholds, now or at, ancestors or {}, limits)
    await faults.set_aside_costly(connection, at)
    try:
        return await turn.take_what_works()
    except PassedError:
        return []


class _Turn(Struct, frozen=True):
    """The evaluation of one minute."""

    connection: Connection
    at: datetime
    thresholds: Mapping[str, object]
    now: datetime
    ancestors: Mapping[str, Sequence[str]]
    limits: Limits

    async def take_what_works(self) -> list[Step]:
        """Evaluate, without rules that this fails of; and try again some that were set aside."""
        try:
            steps = await self.take()
        except faults.RULE_FAULTS as fault:
            if self.connection.closed or isinstance(fault, UNFIT):
                raise
            await culprits.set_aside(self.connection, self.at, self.thresholds, fault, self.limits)
            return await self.take()
        await faults.retry(self.connection, self.at, self.thresholds, self.limits)
        return steps

    async def take(self) -> list[Step]:
        """Evaluate in one transaction, or in several when much changes.

        So nobody waits long for one that opens ten thousand alerts.
        """
        try:
            async with self.connection.transaction():
                return await self._at_once()
        except TooManyError as found:
            return await self._in_portions(-(-found.count // TOGETHER_MAX))

    async def _at_once(self) -> list[Step]:
        steps = await self._judge(Share(), TOGETHER_MAX)
        held = await self._hold()
        told = await self._tell([*steps, *held])
        if max(len(held), told) >= TOGETHER_MAX:
            raise TooManyError(len(steps) + 1)
        return steps + held

    async def _in_portions(self, shares: int) -> list[Step]:
        """Evaluate in shares, then hold back, then tell: nobody hears of what is to be held.

        Should it end before that, the next minute is evaluated as if the clock had stood still
        for what is done, and tells of it.
        """
        steps: list[Step] = []
        for number in range(shares):
            steps += await self._portion(partial(self._judge, Share(number, shares)))
        held = await self._portion(self._hold)
        while len(held) == TOGETHER_MAX:
            steps += held
            held = await self._portion(self._hold)
        while await self._tell_portion() == TOGETHER_MAX:
            pass
        return steps + held

    async def _portion(self, work: Callable[[], Awaitable[list[Step]]]) -> list[Step]:
        async with self._briefly():
            steps = await work()
            await alerts.add_untold(self.connection, [step.alert_id for step in steps])
        return steps

    async def _tell_portion(self) -> int:
        async with self._briefly():
            return await self._tell([])

    @asynccontextmanager
    async def _briefly(self) -> AsyncIterator[None]:
        """Let others be served before a transaction."""
        await asyncio.sleep(PAUSE_S)
        async with self.connection.transaction():
            yield

    async def _judge(self, share: Share, at_most: int | None = None) -> list[Step]:
        steps = await evaluation.evaluate(
            self.connection, self.at, self.thresholds, share,
            at_most=at_most, timeout_ms=self.limits.evaluation_ms,
        )  # fmt: skip
        if share.is_last:
            steps += await faults.settle(self.connection, self.at)
        return steps

    async def _hold(self) -> list[Step]:
        return await holds.settle(self.connection, self.now, self.ancestors, at_most=TOGETHER_MAX)

    async def _tell(self, steps: Sequence[Step]) -> int:
        """Put on the bus what took these steps, and some of what was not told yet; say how many."""
        untold = await alerts.take_untold(self.connection, TOGETHER_MAX)
        ids = sorted({*untold, *(step.alert_id for step in steps)})
        if ids:
            touched = await alerts.read(self.connection, ids)
            await events.append(self.connection, self.at, alerts.news(touched))
        return len(untold)


async def drop_component(connection: Connection, component: str, at: datetime) -> bool:
    """Resolve the open alerts of a component that is no longer watched; True if there were any."""
    async with connection.transaction():
        ids = await alerts.resolve_of_components(connection, [component], at, AUTO)
        resolved = await alerts.read(connection, ids)
        await events.append(connection, at, alerts.news(resolved))
    return bool(ids)
