"""A rule in a preview does exactly what it does live, step by step."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np
import pytest

from alerts.evaluation import statement
from alerts.evaluation.evaluator import evaluate
from alerts.preview import preview
from alerts.rules.model import columns, of_columns
from alerts.suppression import maintenance as windows
from alerts.suppression import silences
from alerts.suppression.maintenance import Window
from alerts.suppression.suppress import Matcher
from db.engine import Engine
from db.queries import Connection, Pool
from model.series import Kind, Sample, Series
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.simulation import START, Simulation, instance, minute, rule_with

MINUTES = 60
INSTANCES = 5
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
    "some of the instances": {"labels": {"disk": "b"}, "category": "database"},
}  # fmt: skip


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


def series(metric: str, number: int, kind: Kind = Kind.GAUGE) -> Series:
    """Return one of the instances: two share a component, and only their labels tell them apart."""
    labels = (("disk", "ab"[number % 2]),)
    return Series(metric=metric, component=f"thing-{number // 2:02}", labels=labels, kind=kind)


async def live(simulation: Simulation, seed: int) -> None:
    """Let an hour of random walks with gaps pass, looked at each minute."""
    chance = np.random.default_rng(seed)
    values = 10 + np.cumsum(chance.normal(0, 2, (MINUTES, INSTANCES)), axis=0)
    totals = np.cumsum(10 * np.abs(values), axis=0)
    for row, total in zip(values, totals, strict=True):
        simulation.now += 1
        measured: dict[Series, list[float]] = {}
        for number in np.flatnonzero(chance.random(INSTANCES) < 0.85):
            value, count = float(row[number]), float(total[number])
            measured[series("load", number)] = [value, value + float(chance.normal()), value]
            measured[series("up", number)] = [float(chance.random() < 0.7), 1.0]
            measured[series("total", number, Kind.COUNTER)] = [count, count + 20]
            measured[series("spread", number, Kind.DISTRIBUTION)] = [1.0, abs(value), 5.0]
        await simulation.measure(measured)
        await simulation.look()


async def measure_hour(connection: Connection, hour: int, chance: np.random.Generator) -> None:
    """Store the samples of an hour of two instances, with gaps."""
    samples = [
        Sample(instance(component), minute(60 * hour + number), value)
        for component in range(2)
        for number, value in enumerate(10 + np.cumsum(chance.normal(0, 2, 60)))
        if chance.random() < 0.9
    ]
    await insert(connection, SeriesNumbers(), samples)


def near(value: Any) -> float | None:
    """Return a value without its last digits: sums of the same samples in another order."""
    return None if value is None else round(value, 9)


def events(previewed: preview.Preview) -> list[tuple[object, ...]]:
    return sorted(
        (e.time, e.component, sorted(e.labels.items()), e.type, near(e.value), e.comment, e.level)
        for e in previewed.events
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
async def test_a_preview_tells_each_step_of_the_live_evaluation(
    connection: Connection, pool: Pool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CELLS_MAX", 17 * INSTANCES)
    simulation, rule = Simulation(connection), rule_with(RULES[name])
    await simulation.add(rule)
    await live(simulation, seed=len(name))
    happened = await audit(connection)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

    assert len(happened) > 5
    assert events(previewed) == happened
    opened = [transition[:3] for transition in happened if transition[3] == "opened"]
    alerts = [(a.opened_at, a.component, sorted(a.labels.items())) for a in previewed.alerts]
    assert sorted(alerts) == opened
    assert previewed.present == preview.Present(
        alerts=previewed.alerts, firing_s=previewed.firing_s, messages=previewed.messages
    )
    assert previewed.messages == len(happened)


async def test_a_preview_of_a_week_tells_each_step_of_each_minute(
    connection: Connection, pool: Pool, engine: Engine
) -> None:
    # The embedded engine takes ten times as long: there, more than one piece of a preview has to
    # do.
    hours = 13 if engine.embedded else 7 * 24
    rule = rule_with({"recovery": {"warning": 9.0}, "for": "2m", "window": "2m", "no_data": "ok"})
    await Simulation(connection).add(rule)
    chance = np.random.default_rng(7)
    for hour in range(hours):
        await measure_hour(connection, hour, chance)
        async with connection.transaction():
            # Planned anew at each minute, it would take five times as long.
            await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            for number in range(60 * hour + 1, 60 * hour + 61):
                await statement.evaluate(connection, minute(number), {})
    happened = await audit(connection)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(60 * hours))

    assert len(happened) > 5 * hours
    assert events(previewed) == happened
    assert (previewed.late, previewed.late_total) == ([], 0)


@pytest.mark.parametrize("name", ["waiting and keeping", "no data alerts", "flapping", "a change"])
async def test_minutes_that_nobody_looked_at_are_left_out_and_named(
    connection: Connection, pool: Pool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CELLS_MAX", 17 * INSTANCES)
    gaps = ((20, 21), (31, 32), (45, 52), (60, 115), (140, 215))
    simulation, rule = Simulation(connection), rule_with({**RULES[name], "for": "4m"})
    await simulation.add(rule)
    chance = np.random.default_rng(3)
    values = 10 + np.cumsum(chance.normal(0, 2, (240, INSTANCES)), axis=0)
    for row in values:
        simulation.now += 1
        seen = np.flatnonzero(chance.random(INSTANCES) < 0.85)
        await simulation.measure({series("load", number): [float(row[number])] for number in seen})
        if not any(start <= simulation.now < end for start, end in gaps):
            await simulation.look()
    happened = await audit(connection)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(240))

    assert len(happened) > 10
    assert events(previewed) == happened
    assert [(g.start, g.end) for g in previewed.not_evaluated] == [
        (minute(start), minute(end)) for start, end in gaps
    ]
    assert (previewed.not_evaluated_total, previewed.late_total) == (5, 0)


async def test_a_preview_over_rolled_up_minutes_is_the_same(
    connection: Connection, pool: Pool
) -> None:
    simulation, rule = Simulation(connection), rule_with({"window": "5m", "agg": "stddev"})
    rule = of_columns({**columns(rule), "levels": {"warning": 1.5}})
    await live(simulation, seed=4)
    fresh = await preview.run(pool.connection, rule, {}, minute(1), minute(MINUTES))
    await tiers.maintain(connection, minute(600))

    rolled_up = await preview.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

    assert fresh.messages > 5
    assert [(e.time, e.type) for e in rolled_up.events] == [(e.time, e.type) for e in fresh.events]


async def test_suppressed_transitions_are_no_messages(connection: Connection, pool: Pool) -> None:
    """Each step of a live hour, and whether the alert was held when it was told."""
    simulation = Simulation(connection)
    rule = rule_with({"recovery": {"warning": 7.0}, "labels": {}})
    await simulation.add(rule)
    matchers = [{"level": "critical"}, {"component": ["thing-00", "thing-02"], "rule": "load"}]
    for number, matcher in enumerate(matchers):
        terms = silences.Terms(
            msgspec.convert(matcher, Matcher), minute(5 + 9 * number), minute(25 + 9 * number), "so"
        )
        await silences.insert(connection, terms, START, "ana")
    repair = Window(name="repair", starts_at=minute(30), ends_at=minute(300))
    repair_id = await windows.insert(connection, repair, START, "ana")
    chance, events, suppressed = np.random.default_rng(1), 0, 0
    for row in 10 + np.cumsum(chance.normal(0, 3, (MINUTES, INSTANCES)), axis=0):
        simulation.now += 1
        await simulation.measure({series("load", i): [float(value)] for i, value in enumerate(row)})
        if simulation.now == 50:
            assert repair_id is not None
            await windows.end(connection, repair_id, minute(50), "ana")
        transitions = await evaluate(connection, minute(simulation.now), {}, on_transitions=[])
        for transition in transitions:
            if transition.transition not in {"suppressed", "unsuppressed"}:
                [alert] = await simulation.read([transition.alert_id])
                events, suppressed = events + 1, suppressed + bool(alert.suppressed_by)

    previewed = await preview.run(pool.connection, rule, {}, minute(1), minute(MINUTES))

    assert events - suppressed > 5
    assert suppressed > 5
    assert (previewed.messages, previewed.suppressed) == (events - suppressed, suppressed)
