"""Random sequences of alerts: the SQL agrees with a reference model in plain Python."""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from alerts import store as alerts
from alerts.announcing import announce
from alerts.evaluation import quarantine
from alerts.rules import store as rules
from alerts.store import Alert
from db.engine import Engine
from db.pool import open_pool
from db.queries import Pool
from events import bus
from tests.alerts.reference_model import Model, ModelAlert, Terms
from tests.alerts.simulation import LEVELS, Simulation, instance, minute, rule_of
from tests.conftest import RESET

RULES, INSTANCES = 4, 6
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "12"))
"""Few, because each minute is a whole evaluation."""
ERROR = "rule-error"
ACTS = {
    "acknowledged": alerts.acknowledge,
    "resolved": alerts.resolve,
    "reopened": alerts.reopen,
}


class Stage:
    """The service's evaluation and the model, side by side; each minute they are compared."""

    def __init__(self, engine: Engine, terms: Sequence[Terms]) -> None:
        self.engine, self.model = engine, Model(terms, INSTANCES)
        self.now = 0
        self.values: list[float | None] = [None] * INSTANCES
        self.ids: list[int] = []
        self.touched: Counter[int] = Counter()
        self.open = AsyncExitStack()

    async def connect(self) -> None:
        """Begin as a process does that was just started: with a pool of its own."""
        await self.open.aclose()
        pool = await self.open.enter_async_context(
            open_pool(self.engine.dsn, embedded=self.engine.embedded)
        )
        self.simulation = Simulation(await self.open.enter_async_context(pool.connection()))

    async def add_rules(self) -> None:
        for number, terms in enumerate(self.model.rules):
            await self.simulation.add(rule_of(terms, f"rule-{number}"))

    async def pass_time(self, minutes: int, changes: dict[int, float | None]) -> None:
        """Let so many minutes end, of which only the last one is measured and evaluated."""
        self.now += minutes
        self.simulation.now = self.now
        for number, value in changes.items():
            self.values[number] = value
        there = {instance(i): [v] for i, v in enumerate(self.values) if v is not None}
        await self.simulation.measure(there)
        at, seen = self.now, len(self.model.alerts)
        expected = [
            (f"rule-{rule}", instance(number).component, said)
            for rule, number, said in self.model.pass_minute(at, self.values)
        ]
        expected += [(ERROR, f"rule-{rule}", said) for rule, said in self.model.rule_errors()]
        assert await self._announce(seen) == sorted(expected), at
        self.model.retry(at)
        await self._compare()

    async def _announce(self, seen: int) -> list[tuple[str, str, str]]:
        transitions = await self.simulation.announce()
        found = {
            alert.id: alert
            for alert in await self.simulation.read([s.alert_id for s in transitions])
        }
        self.touched.update(found.keys())
        said = [
            (*self._about(found[transition.alert_id]), transition.transition)
            for transition in transitions
        ]
        new = {
            self._about(found[s.alert_id]): s.alert_id
            for s in transitions
            if s.transition == "opened"
        }
        for alert in self.model.alerts[seen:]:
            self.ids.append(new.get(self._named(alert), 0))
        return sorted(said)

    @staticmethod
    def _about(alert: Alert) -> tuple[str, str]:
        return alert.rule, alert.labels["rule"] if alert.rule == ERROR else alert.component

    @staticmethod
    def _named(alert: ModelAlert) -> tuple[str, str]:
        return f"rule-{alert.rule}", instance(alert.instance).component

    async def _compare(self) -> None:
        """Compare what is open: its level, whether it flaps, and whether someone is on it."""
        found = {
            alert.id: (alert.level, alert.is_flapping, alert.state == "acknowledged")
            for alert in await self.simulation.active()
            if alert.rule != ERROR
        }
        assert found == {
            number: (LEVELS[alert.rank], alert.flaps, alert.acknowledged)
            for number, alert in zip(self.ids, self.model.alerts, strict=True)
            if alert.is_open
        }
        assert await self._pending() == {
            (f"rule-{rule}", instance(number).component): minute(self.now - one.breached_for)
            for rule, instances in enumerate(self.model.instances)
            for number, one in enumerate(instances)
            if one.phase == "pending" and one.looked
        }

    async def _pending(self) -> dict[tuple[str, str], datetime]:
        """Return since when each instance is pending that was looked at in this minute."""
        cursor = await self.simulation.connection.execute(
            "SELECT name, s.component, since FROM alert_states s JOIN alert_rules r ON id = rule_id"
            " WHERE phase = 'pending' AND missing_since IS NULL"
        )
        return {(name, component): since for name, component, since in await cursor.fetchall()}

    async def compare_history(self) -> None:
        """Compare the whole audit, and what everybody was told."""
        reported = await alerts.transitions_of(self.simulation.connection, self.ids)
        for number, alert in zip(self.ids, self.model.alerts, strict=True):
            said = [
                (transition.type, transition.level, transition.actor)
                for transition in reported[number]
            ]
            assert said == [(word, LEVELS[rank], actor) for word, rank, actor in alert.audit]
        heard: Counter[int] = Counter()
        for event in await bus.after(self.simulation.connection, 0, 10_000):
            payload: Any = event.payload
            heard.update(a["id"] for a in payload.get("alerts", [payload]))
        assert heard == self.touched

    async def act(self, what: str, newest: int) -> None:
        """Let a person do something to one of the alerts, whether it can be done or not."""
        if not self.model.alerts:
            return
        number = len(self.model.alerts) - 1 - newest % len(self.model.alerts)
        alert, alert_id = self.model.alerts[number], self.ids[number]
        connection, at = self.simulation.connection, minute(self.now)
        can = self.model.act(what, alert, self.now)
        if what in ACTS:
            assert await ACTS[what](connection, alert_id, at, "ana") == can
        if can:
            alert.log(what, "ana")
            await alerts.log_transition(connection, alert_id, at, what, "ana", "because")
            # Whoever acts announces it, and not the next evaluation; nobody is told of a comment.
            self.touched[alert_id] += await announce(connection, at, [], alert_ids=[alert_id])

    async def order(self, what: str, rule: int, more: Any = None) -> None:
        """Change a rule, or let it fail or be well again."""
        connection, old = self.simulation.connection, self.model.rules[rule]
        if what == "fail":
            self.model.fail(rule, self.now)
            await quarantine.fail(connection, [rule + 1], "it is too much", minute(self.now))
        elif what == "recover":
            self.model.failed_at[rule] = None
            await quarantine.recover(connection, [rule + 1])
        else:
            new = {
                "switch": replace(old, enabled=not old.enabled),
                "narrow": replace(old, only=more if old.only is None else None),
                "change": more,
            }[what]
            self.model.change(rule, new)
            row = rule_of(new, f"rule-{rule}")
            assert await rules.update(connection, row, minute(self.now), "ana")


LOUDER_ABOVE = ({2: 10.0, 3: 20.0}, {1: 5.0, 3: 20.0, 4: 30.0}, {4: 10.0})
LOUDER_BELOW = ({2: 20.0, 3: 10.0}, {1: 30.0, 3: 10.0, 4: 5.0}, {4: 10.0})
VALUE = st.none() | st.sampled_from(
    [0.0, 4.0, 5.0, 7.0, 7.5, 9.0, 10.0, 12.0, 12.5, 15.0, 16.0, 20.0, 22.0, 25.0, 30.0, 35.0]
)
"""Limits and values of recovery are among them."""


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    op = draw(st.sampled_from([">", ">=", "<", "<="]))
    above = op in {">", ">="}
    limits = draw(st.sampled_from(LOUDER_ABOVE if above else LOUDER_BELOW))
    shard = draw(st.sampled_from([None, 0.75 if above else 1.25]))
    return Terms(
        limits,
        op,
        recovery={} if shard is None else {r: shard * limit for r, limit in limits.items()},
        wait=draw(st.sampled_from([0, 0, 1, 3, 10, 14])),
        keep=draw(st.sampled_from([0, 1, 3])),
        no_data=draw(st.sampled_from(["keep", "ok", "alert"])),
        on_error=draw(st.sampled_from(["keep", "ok", "alert"])),
        no_data_rank=draw(st.sampled_from([1, 2, 4])),
        escalate=draw(st.sampled_from([None, 1, 3])),
        flap_count=draw(st.sampled_from([0, 1, 2, 3])),
        flap_window=draw(st.sampled_from([2, 4, 8])),
    )


@dataclass(frozen=True)
class Passing:
    """How long after the one before, what is measured from now on, and what is done then."""

    later: int
    changes: dict[int, float | None]
    acts: Sequence[tuple[str, int]] = ()
    orders: Sequence[tuple[Any, ...]] = ()
    restarts: bool = False


ACT = st.tuples(
    st.sampled_from(["acknowledged", "resolved", "reopened", "commented"]), st.integers(0, 9)
)
RULE = st.integers(0, RULES - 1)
ORDER = st.one_of(
    st.tuples(st.just("switch"), RULE),
    st.tuples(st.just("fail"), RULE),
    st.tuples(st.just("recover"), RULE),
    st.tuples(st.just("narrow"), RULE, st.integers(0, INSTANCES - 1)),
    st.tuples(st.just("change"), RULE, terms()),
)
PASSING = st.builds(
    Passing,
    later=st.sampled_from([1] * 9 + [2] * 3 + [3, 6, 15, 60, 61]),
    changes=st.dictionaries(st.integers(0, INSTANCES - 1), VALUE, max_size=INSTANCES),
    acts=st.lists(ACT, max_size=3),
    orders=st.one_of(st.just([]), st.just([]), st.lists(ORDER, max_size=2)),
    restarts=st.sampled_from([False] * 7 + [True]),
)


# Prometheus' TestForStateRestore, as in test_life.py, with the service's own tolerance of an hour.
BELOW = Terms({3: 100.0}, "<", wait=25)
BEFORE = [Passing(1, {0: 75, 1: 125}), Passing(2, {}), Passing(2, {0: 85, 1: 90})]
LATER = [Passing(2, {0: 0, 1: 0})] * 8
AGAIN = [Passing(2, {})] * 2
RESTORES = {
    "goes on": [*BEFORE, Passing(10, {0: 0, 1: 0}, restarts=True), *AGAIN],
    "anew": [*BEFORE, Passing(61, {0: 40, 1: 50}, restarts=True), *AGAIN],
    "forgotten": [*BEFORE, Passing(45, {0: 120, 1: 130}, restarts=True), *AGAIN],
    "grace": [*BEFORE, *LATER, Passing(5, {0: 25, 1: 25}, restarts=True), *AGAIN * 2, *AGAIN],
}

EDGES = (
    Terms({2: 10.0}, wait=3),
    Terms({2: 10.0}, keep=3),
    Terms({2: 10.0}, flap_count=2, flap_window=5),
    Terms({2: 10.0}, wait=14, no_data="ok", on_error="alert"),
)
AT_THE_EDGES = [
    # `for` is shorter than the grace: after five minutes it starts anew.
    Passing(1, {0: 15, 1: 15, 2: 15, 5: 15}),
    Passing(1, {1: 5, 2: 5, 5: 5}),
    Passing(5, {}, restarts=True),
    # A minute without data is none of calm.
    Passing(1, {2: 15, 5: None}),
    Passing(1, {2: 5, 5: 5}),
    Passing(1, {}, orders=[("fail", 3)]),
    # It opens again after as long as the window, and so not within it.
    Passing(1, {3: 15}),
    Passing(1, {3: 5}),
    Passing(1, {2: 15}),
    # An hour is not too long for calm to go on; a minute more is.
    Passing(60, {}, restarts=True),
    Passing(1, {}),
    Passing(1, {3: 15}),
    Passing(1, {3: 5}),
    Passing(1, {}),
    Passing(61, {}),
    # It flaps and so stays; but what a rule no longer looks at is forgotten, and opens as if new.
    Passing(1, {4: 15}),
    Passing(1, {4: 5}),
    Passing(1, {4: 15}),
    Passing(1, {4: 5}),
    Passing(1, {}, orders=[("switch", 2)]),
    Passing(1, {}, orders=[("switch", 2)]),
    Passing(1, {4: 15}),
]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    asked=st.lists(terms(), min_size=RULES, max_size=RULES),
    passings=st.lists(PASSING, min_size=6, max_size=20),
)
@example(asked=[BELOW], passings=RESTORES["goes on"])
@example(asked=[BELOW], passings=RESTORES["anew"])
@example(asked=[BELOW], passings=RESTORES["forgotten"])
@example(asked=[BELOW], passings=RESTORES["grace"])
@example(asked=EDGES, passings=AT_THE_EDGES)
async def test_any_life_is_told_as_plain_python_tells_it(
    engine: Engine, pool: Pool, asked: Sequence[Terms], passings: list[Passing]
) -> None:
    async with pool.connection() as connection:
        await connection.execute(RESET)
    stage = Stage(engine, asked)
    async with stage.open:
        await stage.connect()
        await stage.add_rules()
        for passing in passings:
            if passing.restarts:
                await stage.connect()
            await stage.pass_time(passing.later, passing.changes)
            for what, newest in passing.acts:
                await stage.act(what, newest)
            for order in passing.orders:
                await stage.order(*order)
        await stage.compare_history()
