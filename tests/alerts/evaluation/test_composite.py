"""A composite fires when its rules demand it: live, in plain Python, and in previews."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from alerts.preview import preview
from alerts.rules import changes as rule_set
from alerts.rules import store as rules
from alerts.rules.model import Rule
from db.queries import Connection, Pool
from model.errors import ConflictError
from model.severity import Level
from tests.alerts.simulation import Simulation, minute

MINUTES, INSTANCES = 40, 4
RANKS = {level.value: rank for rank, level in enumerate(Level, 1)}
NAMED = [
    Rule(name="high", metric="load", levels={Level.WARNING: 12, Level.EMERGENCY: 15}),
    Rule(name="rising", kind="change", metric="load", offset="1m", levels={Level.INFO: 0.5}),
    Rule(name="low", metric="load", op="<", levels={Level.CRITICAL: 9}, keep_firing_for="2m"),
]
COMPOSITES = {
    "all": {"all_of": ["high", "rising"]},
    "any": {"any_of": ["high", "low"], "level": "critical"},
    "not": {"any_of": ["high", "rising"], "none_of": ["low"], "for": "1m"},
    "all-any-not": {"all_of": ["rising"], "any_of": ["high", "low"], "none_of": ["high"]},
    "each": {"all_of": ["high", "rising"], "by_component": True},
    "each-not": {"any_of": ["high", "rising"], "none_of": ["low"], "by_component": True},
    "one": {"all_of": ["high"], "component": "thing-01"},
}

Moment = dict[str, dict[str, int]]
"""Level by component, of each rule that fires."""


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


def composite(given: dict[str, object]) -> Rule:
    return msgspec.convert({"name": "both", "kind": "composite", **given}, Rule)


async def moments(connection: Connection) -> dict[datetime, Moment]:
    """What each rule was seen firing at, after each minute, by the audit."""
    cursor = await connection.execute(
        "SELECT e.time, a.rule, a.component, e.type, e.level"
        " FROM system_alert_events e JOIN system_alerts a ON a.id = e.alert_id ORDER BY e.id"
    )
    transitions = await cursor.fetchall()
    found: dict[datetime, Moment] = {}
    firing: dict[tuple[str, str], int] = {}
    for at in map(minute, range(1, MINUTES + 1)):
        for _, rule, component, kind, level in [
            transition for transition in transitions if transition[0] == at
        ]:
            firing[rule, component] = 0 if kind == "resolved" else RANKS[level]
        found[at] = {}
        for (rule, component), rank in firing.items():
            if rank:
                found[at].setdefault(rule, {})[component] = rank
    return found


def level_of(rule: Rule, moment: Moment, components: Collection[str]) -> int:
    """Return the level at which a composite fires about some components, in plain Python."""
    firing = {
        name: max(ranks)
        for name, by_component in moment.items()
        if (ranks := [r for c, r in by_component.items() if c in components])
    }
    holds = (
        all(name in firing for name in rule.all_of)
        and (not rule.any_of or any(name in firing for name in rule.any_of))
        and not any(name in firing for name in rule.none_of)
    )
    named = [firing[name] for name in rule.all_of + rule.any_of if name in firing]
    return 0 if not holds else RANKS[rule.level] if rule.level else max(named)


def covered_by(rule: Rule) -> dict[str, list[str]]:
    """Return which components a composite looks at together, by that of its alert."""
    everything = [f"thing-{number:02}" for number in range(INSTANCES)]
    if rule.by_component:
        return {one: [one] for one in everything}
    return {rule.component or "": [rule.component] if rule.component else everything}


async def test_composites_fire_as_plain_python_says_and_the_same_on_the_past(
    connection: Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CELLS_MAX", 17 * INSTANCES)
    simulation = Simulation(connection)
    composites = [composite({"name": name, **given}) for name, given in COMPOSITES.items()]
    await simulation.add(*NAMED, *composites)
    chance = np.random.default_rng(5)
    for row in 11 + np.cumsum(chance.normal(0, 1, (MINUTES, INSTANCES)), axis=0):
        await simulation.pass_minute(*row.tolist())

    seen = await moments(connection)
    for rule in composites:
        assert any(rule.name in moment for moment in seen.values()), rule.name
        for component, covered in covered_by(rule).items():
            wanted = [level_of(rule, moment, covered) for moment in seen.values()]
            if rule.for_ != "0s":  # A minute: it has to be broken the minute before as well.
                wanted = [now if old else 0 for old, now in pairwise([0, *wanted])]
            found = [moment.get(rule.name, {}).get(component, 0) for moment in seen.values()]
            assert found == wanted, (rule.name, component)

        tried = await preview.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

        cursor = await connection.execute(
            "SELECT e.time, a.component, e.type, e.value FROM system_alert_events e"
            " JOIN system_alerts a ON a.id = e.alert_id WHERE a.rule = %s ORDER BY 1, 2",
            [rule.name],
        )
        reported = sorted((e.time, e.component, e.type, e.value) for e in tried.events)
        assert reported == await cursor.fetchall()


async def test_a_composite_that_is_off_lets_its_alert_go(connection: Connection) -> None:
    simulation, rule = Simulation(connection), composite({"all_of": ["high"]})
    await simulation.add(*NAMED, rule)
    await simulation.pass_minute(20.0)
    [alert] = [alert for alert in await simulation.active() if alert.rule == "both"]
    assert (alert.level, alert.component, alert.message) == (Level.EMERGENCY, "", "all of high")

    await connection.execute("UPDATE alert_rules SET enabled = false WHERE name = 'both'")
    await simulation.pass_minute(20.0)

    assert [alert.rule for alert in await simulation.active()] == ["high"]


async def test_a_composite_names_rules_that_are_there_and_no_composites(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(*NAMED, composite({"all_of": ["high"], "none_of": ["low"]}))
    await rule_set.check(connection, ["both"])

    await rules.delete(connection, ["low"])
    for touched in (["low"], ["both"]):
        with pytest.raises(ConflictError, match="both references low"):
            await rule_set.check(connection, touched)
    await rule_set.check(connection, ["high"])
    await simulation.add(Rule(name="low", kind="composite", any_of=("high",)))
    with pytest.raises(ConflictError, match="both references low"):
        await rule_set.check(connection, ["low"])
