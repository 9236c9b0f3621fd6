"""A simulation for tests of alerts: instances are measured, and minutes pass."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from alerts import store as alerts
from alerts.evaluation import statement
from alerts.evaluation.evaluator import evaluate
from alerts.evaluation.statement import Transition
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.store import Alert, Filter
from db.queries import Connection
from model.series import Sample, Series
from model.severity import Level
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.reference_model import Terms

START = datetime(2026, 1, 1, tzinfo=UTC)
LEVELS = {1: Level.INFO, 2: Level.WARNING, 3: Level.CRITICAL, 4: Level.EMERGENCY}


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def instance(number: int = 0, metric: str = "load") -> Series:
    return Series(metric=metric, component=f"thing-{number:02}")


def rule_of(terms: Terms, name: str = "load", **more: Any) -> Rule:
    """Return the rule that asks what the reference model's terms ask."""
    return Rule(
        name=name,
        metric="load",
        component=None if terms.only is None else instance(terms.only).component,
        op=terms.op,
        levels={LEVELS[rank]: limit for rank, limit in terms.limits.items()},
        recovery={LEVELS[rank]: limit for rank, limit in terms.recovery.items()} or None,
        for_=f"{terms.wait}m",
        keep_firing_for=f"{terms.keep}m",
        no_data=terms.no_data,
        on_error=terms.on_error,
        no_data_level=LEVELS[terms.no_data_rank],
        escalate_after=None if terms.escalate is None else f"{terms.escalate}m",
        flap_count=terms.flap_count,
        flap_window=f"{terms.flap_window}m",
        enabled=terms.enabled,
        **more,
    )


def rule_with(given: Mapping[str, Any]) -> Rule:
    """Return a rule with two levels, and what else is given."""
    plain = {"name": "load", "metric": "load", "levels": {"warning": 10.0, "critical": 15.0}}
    return msgspec.convert({**plain, **given}, Rule)


class Simulation:
    """Minutes that pass over instances that are measured."""

    def __init__(self, connection: Connection, terms: Terms | None = None) -> None:
        self.connection = connection
        self.terms = terms or Terms({2: 10.0, 3: 20.0})
        self.thresholds: Mapping[str, object] = {}
        self.dependencies: Mapping[str, Sequence[str]] = {}
        self.now = 0

    async def add(self, *some: Rule) -> None:
        for rule in some:
            assert await rules.insert(self.connection, rule, START, "ana")

    async def measure(self, values: Mapping[Series, Sequence[float]]) -> None:
        """Store samples of the minute that is about to end, evenly spread."""
        samples = [
            Sample(series, minute(self.now - 1) + i * timedelta(minutes=1) / len(some), value)
            for series, some in values.items()
            for i, value in enumerate(some)
        ]
        if samples:
            await insert(self.connection, SeriesNumbers(), samples)

    async def look(self) -> list[tuple[str, str]]:
        """Evaluate this minute; return the component and the word of each step."""
        async with self.connection.transaction():
            transitions = await statement.evaluate(
                self.connection, minute(self.now), self.thresholds,
                tolerance_s=60 * self.terms.tolerance, grace_s=60 * self.terms.grace,
            )  # fmt: skip
        components = {a.id: a.component for a in await self.read([s.alert_id for s in transitions])}
        return sorted(
            (components[transition.alert_id], transition.transition) for transition in transitions
        )

    async def pass_minute(self, *values: float | None, at: int | None = None) -> list[str]:
        """Let a minute pass in which each instance has one value, or none; return what was said."""
        self.now = self.now + 1 if at is None else at
        await self.measure({instance(i): [v] for i, v in enumerate(values) if v is not None})
        return [said for _, said in await self.look()]

    async def announce(self) -> list[Transition]:
        """Evaluate this minute as the service does it, bus and all; return the steps."""
        return await evaluate(
            self.connection, minute(self.now), self.thresholds, self.dependencies, on_transitions=[]
        )

    async def active(self) -> list[Alert]:
        return await alerts.active(self.connection, Filter(), 1000)

    async def read(self, ids: Sequence[int]) -> list[Alert]:
        return await alerts.read(self.connection, ids)
