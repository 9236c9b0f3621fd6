"""Evaluates every rule once a minute, and puts what happened on the bus in the same transaction."""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files

import msgspec

from db import alerts, evaluation, events, faults, holds, rules
from db.evaluation import Share, Step, TooManyError
from db.queries import Connection
from db.rules import Rule
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
) -> list[Step]:
    """Evaluate the windows that end at a whole minute; return the steps that alerts took.

    What holds alerts back is that of `now`, when people would be told: it may be later. A rule that
    this fails of is set aside, so that it is in nobody's way.
    """
    await faults.set_aside_costly(connection, at)
    try:
        steps = await _evaluate(connection, at, thresholds, now or at, ancestors or {})
    except faults.RULE_FAULTS:
        if connection.closed or not await faults.set_aside(connection, at, thresholds):
            raise
        steps = await _evaluate(connection, at, thresholds, now or at, ancestors or {})
    await faults.retry(connection, at, thresholds)
    return steps


async def _evaluate(
    connection: Connection,
    at: datetime,
    thresholds: Mapping[str, object],
    now: datetime,
    ancestors: Mapping[str, Sequence[str]],
) -> list[Step]:
    """Evaluate a minute in one transaction, or in several when much changes.

    So nobody waits long for one that opens ten thousand alerts. Should it end between two of them,
    the next minute is evaluated as if the clock had stood still for those that are done.
    """

    async def take(share: Share, at_most: int | None = None) -> list[Step]:
        async with connection.transaction():
            steps = await evaluation.evaluate(connection, at, thresholds, share, at_most=at_most)
            if share.is_last:
                steps += await faults.settle(connection, at)
            steps += await holds.settle(connection, now, ancestors)
            if steps:
                touched = await alerts.read(connection, [step.alert_id for step in steps])
                await events.append(connection, at, alerts.news(touched))
        return steps

    try:
        return await take(Share(), TOGETHER_MAX)
    except TooManyError as found:
        count = -(-found.count // TOGETHER_MAX)
    steps: list[Step] = []
    for number in range(count):
        await asyncio.sleep(PAUSE_S)
        steps += await take(Share(number, count))
    return steps


async def drop_component(connection: Connection, component: str, at: datetime) -> bool:
    """Resolve the open alerts of a component that is no longer watched; True if there were any."""
    async with connection.transaction():
        ids = await alerts.resolve_of_components(connection, [component], at, AUTO)
        resolved = await alerts.read(connection, ids)
        await events.append(connection, at, alerts.news(resolved))
    return bool(ids)
