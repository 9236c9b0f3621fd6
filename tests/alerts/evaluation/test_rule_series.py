"""The stored series of rules always equal those that a fresh search would find."""

import random
from collections.abc import AsyncIterator

import pytest

from alerts.evaluation import quarantine, rule_series
from alerts.evaluation.evaluator import evaluate
from alerts.rules import store as rules
from alerts.rules.model import Rule
from db import queries
from db.queries import Connection, Pool
from model.series import Kind, Series, labels_of
from model.severity import Level
from samples.series import SeriesNumbers
from tests.alerts.simulation import Simulation, minute

FOUND = b"""
SELECT rule_id, series_id, kind, source, aggregate, window_s, other_id,
       CASE WHEN other_id IS NOT NULL THEN other_window_s END,
       CASE WHEN other_id IS NOT NULL THEN other_shift_s END,
       is_relative, budget, sign, is_strict, least_severe, settings, is_known
FROM ({targets}) t
ORDER BY rule_id, series_id
"""
KEPT = b"""
SELECT t.rule_id, t.series_id, t.kind, n.source, t.aggregate, n.window_s,
       o.series_id, o.window_s, o.shift_s, t.is_relative, t.budget, t.sign, t.is_strict,
       t.least_severe, t.settings, t.is_known
FROM rule_series t
JOIN rule_inputs n ON n.id = t.input_id AND n.shift_s = 0
LEFT JOIN rule_inputs o ON o.id = t.other_input_id
ORDER BY t.rule_id, t.series_id
"""
ANEW = queries.fill(
    FOUND, targets=rule_series.of(b"(SELECT * FROM alert_rules WHERE error IS NULL)")
)
METRICS, COMPONENTS, ZONES = ("load", "hits"), ("a", "b", "c"), ("x", "y")
LEVELS = {Level.INFO: 5.0}


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def kept(connection: Connection) -> list[tuple[object, ...]]:
    """Return what is kept, which is what is found anew, and needs nothing else."""
    found = await (await connection.execute(ANEW, {})).fetchall()
    assert await (await connection.execute(KEPT)).fetchall() == found
    return found


def some_rule(draw: random.Random, name: str) -> Rule:
    of = {
        "metric": draw.choice(METRICS),
        "component": draw.choice([None, *COMPONENTS]),
        "labels": draw.choice([{}, {"zone": "x"}]),
        "window": draw.choice(["1m", "5m", "30s"]),
        "enabled": draw.random() > 0.2,
    }
    kinds = (
        Rule(name=name, levels=LEVELS, agg=draw.choice(["avg", "last", "p90", "rate"]), **of),
        Rule(name=name, agg="sum", op="<=", **of),
        Rule(name=name, kind="absence", no_data="alert", **of),
        Rule(name=name, kind="ratio", over=draw.choice(METRICS), levels=LEVELS, **of),
        Rule(name=name, kind="change", offset="1h", levels=LEVELS, **of),
    )
    return draw.choice(kinds)


def some_series(draw: random.Random) -> Series:
    return Series(
        metric=draw.choice(METRICS),
        component=draw.choice(COMPONENTS),
        labels=labels_of({"zone": draw.choice(ZONES)}),
        kind=draw.choice(list(Kind)),
    )


@pytest.mark.parametrize("seed", range(4))
async def test_stored_rule_series_equal_a_fresh_search(connection: Connection, seed: int) -> None:
    """Rules and series come, change, fail, rest and go, in any order."""
    draw = random.Random(seed)
    sizes = []
    for number in range(60):
        name = f"r{draw.randrange(8)}"
        match draw.randrange(8):
            case 0 | 1 | 2:
                async with connection.transaction():
                    await SeriesNumbers().of(connection, [some_series(draw)])
            case 3 | 4 | 5:
                rule = some_rule(draw, name)
                if not await rules.insert(connection, rule, minute(number), "ana"):
                    await rules.update(connection, rule, minute(number), "ana")
            case 6:
                await rules.delete(connection, [name])
            case _:
                for stored in await rules.read(connection, name):
                    await quarantine.fail(connection, [stored.id], "it fails", minute(number))
        async with connection.transaction():
            await rule_series.cover(connection)
        sizes.append(len(await kept(connection)))
    assert max(sizes) > 5, sizes


async def test_a_minute_in_which_nothing_is_new_writes_nothing(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(Rule(name="load", metric="load", levels=LEVELS))
    await simulation.pass_minute(1.0, 2.0)
    versions = "SELECT xmin::text FROM rule_series UNION ALL SELECT xmin::text FROM alert_rules"
    before = await (await connection.execute(versions)).fetchall()
    assert len(before) == 2 + 1

    await simulation.pass_minute(3.0, 4.0)

    assert await (await connection.execute(versions)).fetchall() == before


async def test_inputs_that_no_rule_needs_any_more_are_not_read(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="load", metric="load", levels=LEVELS),
        Rule(name="more", metric="load", levels=LEVELS, agg="max"),
        Rule(name="slow", metric="load", levels=LEVELS, window="5m"),
    )
    await simulation.pass_minute(1.0)
    inputs = "SELECT window_s FROM rule_inputs ORDER BY 1"
    assert await (await connection.execute(inputs)).fetchall() == [(60,), (300,)]

    for name, left in (("more", [60, 300]), ("slow", [60]), ("load", [])):
        await rules.delete(connection, [name])
        await evaluate(connection, minute(2), {}, on_transitions=[])
        assert await (await connection.execute(inputs)).fetchall() == [(one,) for one in left]
