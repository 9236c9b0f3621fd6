"""A rule on trial does exactly what it does live, step by step."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from db import evaluation, tiers, trial
from db.engine import Engine
from db.queries import Connection, Pool
from db.rules import Rule, columns, of_columns
from db.series import SeriesNumbers
from db.writer import insert
from tests.alerts.oracle import Terms
from tests.alerts.world import World, minute, rule_of, thing
from vigia.model import InvalidError, Kind, Level, Sample, Series

MINUTES = 60
THINGS = 5
RULES = {
    "levels and recovery": {"recovery": {"warning": 7.0}},
    "waiting and keeping": {"for": "2m", "keep_firing_for": "3m"},
    "no data alerts": {"no_data": "alert", "window": "2m"},
    "no data is calm": {"no_data": "ok", "for": "1m"},
    "nobody acknowledges": {"escalate_after": "4m", "keep_firing_for": "5m"},
    "flapping": {"flap_count": 3, "flap_window": "9m"},
    "a change": {"kind": "change", "offset": "3m", "window": "2m", "levels": {"warning": 2.0}},
    "samples": {"agg": "p90", "window": "90s"},
    "smaller is worse": {"op": "<", "levels": {"warning": 6.0, "critical": 3.0}},
    "a burn rate": {
        "kind": "burn", "objective": 50.0, "window": "3m", "short_window": "1m",
        "levels": {"warning": -18.0},
    },
    "a burn rate as it is written": {
        "kind": "burn", "metric": "up", "objective": 90.0, "window": "5m", "short_window": "2m",
        "levels": {"warning": 2.0, "critical": 6.0},
    },
    "absence": {"kind": "absence", "levels": None, "no_data": "alert"},
    "a relative change": {
        "kind": "change", "relative": True, "offset": "4m", "window": "2m",
        "levels": {"info": 30.0},
    },
    "a ratio": {
        "kind": "ratio", "over": "up", "window": "3m",
        "levels": {"warning": 14.0, "critical": 30.0},
    },
    "a rate": {
        "metric": "total", "agg": "rate", "window": "3m",
        "levels": {"warning": 0.6, "critical": 1.0},
    },
    "percentiles of distributions": {
        "metric": "spread", "agg": "p95", "window": "3m", "keep_firing_for": "1m",
        "levels": {"warning": 12.0, "critical": 16.0},
    },
    "an answer in SQL": {"kind": "sql", "sql": "SELECT 1 AS value", "no_data": "ok"},
    "some of the things": {"labels": {"disk": "b"}, "category": "database"},
}  # fmt: skip


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


def rule_with(given: dict[str, Any]) -> Rule:
    plain = {"name": "load", "metric": "load", "levels": {"warning": 10.0, "critical": 15.0}}
    return msgspec.convert({**plain, **given}, Rule)


def series(metric: str, number: int, kind: Kind = Kind.GAUGE) -> Series:
    """Return one of the things: two share a component, and only their labels tell them apart."""
    labels = (("disk", "ab"[number % 2]),)
    return Series(metric=metric, component=f"thing-{number // 2:02}", labels=labels, kind=kind)


async def live(world: World, seed: int) -> None:
    """Let an hour of random walks with gaps pass, looked at each minute."""
    chance = np.random.default_rng(seed)
    values = 10 + np.cumsum(chance.normal(0, 2, (MINUTES, THINGS)), axis=0)
    totals = np.cumsum(10 * np.abs(values), axis=0)
    for row, total in zip(values, totals, strict=True):
        world.now += 1
        measured: dict[Series, list[float]] = {}
        for number in np.flatnonzero(chance.random(THINGS) < 0.85):
            value, count = float(row[number]), float(total[number])
            measured[series("load", number)] = [value, value + float(chance.normal()), value]
            measured[series("up", number)] = [float(chance.random() < 0.7), 1.0]
            measured[series("total", number, Kind.COUNTER)] = [count, count + 20]
            measured[series("spread", number, Kind.DISTRIBUTION)] = [1.0, abs(value), 5.0]
        await world.measure(measured)
        await world.look()


async def measure_hour(connection: Connection, hour: int, chance: np.random.Generator) -> None:
    """Store the samples of an hour of two things, with gaps."""
    samples = [
        Sample(thing(component), minute(60 * hour + number), value)
        for component in range(2)
        for number, value in enumerate(10 + np.cumsum(chance.normal(0, 2, 60)))
        if chance.random() < 0.9
    ]
    await insert(connection, SeriesNumbers(), samples)


def near(value: Any) -> float | None:
    """Return a value without its last digits: sums of the same samples in another order."""
    return None if value is None else round(value, 9)


def told(tried: trial.Trial) -> list[tuple[object, ...]]:
    return sorted(
        (e.time, e.component, sorted(e.labels.items()), e.type, near(e.value), e.comment, e.level)
        for e in tried.events
    )


async def audit(connection: Connection) -> list[tuple[object, ...]]:
    cursor = await connection.execute(
        "SELECT e.time, a.component, a.labels, e.type, e.value, e.comment, e.level"
        " FROM system_alert_events e JOIN system_alerts a ON a.id = e.alert_id"
    )
    return sorted(
        (at, what, sorted(labels.items()), said, near(value), *rest)
        for at, what, labels, said, value, *rest in await cursor.fetchall()
    )


@pytest.mark.parametrize("name", RULES)
async def test_a_trial_tells_each_step_of_the_live_evaluation(
    connection: Connection, pool: Pool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "CELLS_MAX", 17 * THINGS)
    world, rule = World(connection), rule_with(RULES[name])
    await world.add(rule)
    await live(world, seed=len(name))
    happened = await audit(connection)

    tried = await trial.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

    assert len(happened) > 5
    assert told(tried) == happened
    opened = [step[:3] for step in happened if step[3] == "opened"]
    alerts = [(a.opened_at, a.component, sorted(a.labels.items())) for a in tried.alerts]
    assert sorted(alerts) == opened
    assert tried.present == trial.Outcome(tried.alerts, tried.firing_s, tried.messages)
    assert tried.messages == len(happened)


async def test_a_trial_of_a_week_tells_each_step_of_each_minute(
    connection: Connection, pool: Pool, engine: Engine
) -> None:
    # The embedded engine takes ten times as long: there, more than one piece of a trial has to do.
    hours = 13 if engine.embedded else 7 * 24
    rule = rule_with({"recovery": {"warning": 9.0}, "for": "2m", "window": "2m", "no_data": "ok"})
    await World(connection).add(rule)
    chance = np.random.default_rng(7)
    for hour in range(hours):
        await measure_hour(connection, hour, chance)
        async with connection.transaction():
            # Planned anew at each minute, it would take five times as long.
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            for number in range(60 * hour + 1, 60 * hour + 61):
                await evaluation.evaluate(connection, minute(number), {})
    happened = await audit(connection)

    tried = await trial.run(pool.connection, rule, {}, minute(1), minute(60 * hours))

    assert len(happened) > 5 * hours
    assert told(tried) == happened
    assert (tried.late, tried.late_total) == ([], 0)


@pytest.mark.parametrize("name", ["waiting and keeping", "no data alerts", "flapping", "a change"])
async def test_minutes_that_nobody_looked_at_are_left_out_and_named(
    connection: Connection, pool: Pool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "CELLS_MAX", 17 * THINGS)
    gaps = ((20, 21), (31, 32), (45, 52), (60, 115), (140, 215))
    world, rule = World(connection), rule_with({**RULES[name], "for": "4m"})
    await world.add(rule)
    chance = np.random.default_rng(3)
    values = 10 + np.cumsum(chance.normal(0, 2, (240, THINGS)), axis=0)
    for row in values:
        world.now += 1
        seen = np.flatnonzero(chance.random(THINGS) < 0.85)
        await world.measure({series("load", number): [float(row[number])] for number in seen})
        if not any(start <= world.now < end for start, end in gaps):
            await world.look()
    happened = await audit(connection)

    tried = await trial.run(pool.connection, rule, {}, minute(1), minute(240))

    assert len(happened) > 10
    assert told(tried) == happened
    assert [(g.start, g.end) for g in tried.not_evaluated] == [
        (minute(start), minute(end)) for start, end in gaps
    ]
    assert (tried.not_evaluated_total, tried.late_total) == (5, 0)


async def test_a_trial_is_summed_up(connection: Connection, pool: Pool) -> None:
    world = World(connection, Terms({2: 10.0, 3: 20.0}))
    for value in (5, 12, 25, 18, 5, 11, 30):
        await world.turn(value)

    tried = await trial.run(pool.connection, rule_of(world.terms), {}, minute(0), minute(7))

    assert [(a.opened_at, a.resolved_at, a.level, a.peak) for a in tried.alerts] == [
        (minute(2), minute(5), Level.CRITICAL, 25.0),
        (minute(6), None, Level.CRITICAL, 30.0),
    ]
    assert (tried.firing_s, tried.messages, tried.present) == (240.0, 6, None)
    assert await world.active() == []


async def test_a_draft_is_compared_with_the_rule_it_would_replace(
    connection: Connection, pool: Pool
) -> None:
    world = World(connection, Terms({2: 10.0}))
    await world.add(rule_of(world.terms))
    for value in (5, 12, 5, 16):
        await world.turn(value)
    draft = of_columns({**columns(rule_of(world.terms)), "levels": {"warning": 15}})

    tried = await trial.run(pool.connection, draft, {}, minute(1), minute(4))

    assert tried.present is not None
    assert (tried.messages, tried.present.messages) == (1, 3)


async def test_a_trial_over_rolled_up_minutes_is_the_same(
    connection: Connection, pool: Pool
) -> None:
    world, rule = World(connection), rule_with({"window": "5m", "agg": "stddev"})
    rule = of_columns({**columns(rule), "levels": {"warning": 1.5}})
    await live(world, seed=4)
    fresh = await trial.run(pool.connection, rule, {}, minute(1), minute(MINUTES))
    await tiers.maintain(connection, minute(600))

    rolled_up = await trial.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

    assert fresh.messages > 5
    assert [(e.time, e.type) for e in rolled_up.events] == [(e.time, e.type) for e in fresh.events]


async def test_a_range_is_bounded(pool: Pool) -> None:
    rule = rule_with({})
    for end in (minute(-1), minute(0) + timedelta(days=32)):
        with pytest.raises(InvalidError):
            await trial.run(pool.connection, rule, {}, minute(0), end)
