"""Each kind of rule sees the values that plain Python computes from the samples."""

import math
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from alerts.evaluation.evaluator import add_built_in_rules
from alerts.rules import changes as rule_set
from alerts.rules import model as rules
from alerts.rules import store
from alerts.rules.model import Rule
from db.queries import Connection, Pool
from model.errors import InvalidError
from model.series import Kind, Sample, Series
from model.severity import Level
from retention import tiers
from samples.write_batch import write_batch_of
from samples.writer import Writer
from tests.alerts.simulation import Simulation, instance, minute

ALWAYS = {Level.INFO: -1e140}
AGGREGATES = ("avg", "min", "max", "sum", "count", "first", "last", "stddev", "p50", "p90", "p99")
WINDOWS_S = (60, 180, 30, 90)
BURN = {
    "kind": "burn", "objective": 99, "window": "1h", "short_window": "5m", "levels": {"info": 1},
}  # fmt: skip
GAUGE = instance(0)
COUNTER = Series(metric="calls_total", component="thing-00", kind=Kind.COUNTER)
SPREAD = Series(metric="spread", component="thing-00", kind=Kind.DISTRIBUTION)


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


def expected(agg: str, values: np.ndarray) -> float:  # type: ignore[type-arg]
    """What numpy says of the values of a window, oldest first."""
    if agg[0] == "p":
        return float(np.percentile(values, int(agg[1:])))
    simple = {"avg": np.mean, "min": np.min, "max": np.max, "sum": np.sum, "count": len}
    ends = {"first": lambda v: v[0], "last": lambda v: v[-1], "stddev": np.std}
    return float({**simple, **ends}[agg](values))  # type: ignore[operator]


async def found(simulation: Simulation) -> dict[str, float]:
    return {
        alert.rule: alert.value for alert in await simulation.active() if alert.value is not None
    }


@pytest.mark.parametrize("is_rolled_up", [False, True])
async def test_every_aggregate_over_any_window_is_that_of_the_samples(
    connection: Connection, *, is_rolled_up: bool
) -> None:
    simulation, chance = Simulation(connection), np.random.default_rng(7)
    values = 1e6 + chance.normal(0, 5, (5, 4))
    for row in values:
        simulation.now += 1
        await simulation.measure({GAUGE: row.tolist()})
    if is_rolled_up:
        await tiers.maintain(connection, minute(300))
    for agg in AGGREGATES:
        for window_s in WINDOWS_S:
            await simulation.add(
                Rule(
                    name=f"{agg}-{window_s}", metric="load", agg=agg,  # type: ignore[arg-type]
                    window=f"{window_s}s", levels=ALWAYS,
                )
            )  # fmt: skip
    await simulation.look()

    seen = await found(simulation)
    for agg in AGGREGATES:
        for window_s in WINDOWS_S:
            wanted = expected(agg, values.ravel()[-window_s // 15 :])
            assert math.isclose(seen[f"{agg}-{window_s}"], wanted, rel_tol=1e-9), (agg, window_s)


async def test_the_rate_of_a_counter_survives_its_restart(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="rate", metric="calls_total", agg="rate", window="2m", levels=ALWAYS)
    )
    for counts in ([0, 30, 60, 90], [0, 15, 30, 45]):
        simulation.now += 1
        await simulation.measure({COUNTER: counts})

    await simulation.look()

    assert await found(simulation) == {"rate": (90 + 45) / 105}


async def test_percentiles_of_distributions_are_within_one_percent(pool: Pool) -> None:
    values = np.random.default_rng(3).lognormal(3, 1, 200)
    samples = [
        Sample(SPREAD, minute(0) + i * timedelta(milliseconds=300), float(v))
        for i, v in enumerate(values)
    ]
    async with Writer(pool, lambda _: None) as writer:
        await writer.store(write_batch_of(samples))
    async with pool.connection() as connection:
        simulation = Simulation(connection)
        await simulation.add(Rule(name="p95", metric="spread", agg="p95", levels=ALWAYS))
        simulation.now = 1
        await simulation.look()

        assert math.isclose(
            (await found(simulation))["p95"], np.percentile(values, 95), rel_tol=0.01
        )


async def test_a_change_is_measured_against_what_was(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="by", metric="load", kind="change", offset="2m", levels={Level.WARNING: 4}),
        Rule(
            name="percent", metric="load", kind="change", offset="2m", relative=True, op="<",
            levels={Level.CRITICAL: -20},
        ),
    )  # fmt: skip

    reported = []
    for value in (10, 10, 14, 15, 11, 11, None, 11):
        await simulation.pass_minute(value)
        reported.append([alert.rule for alert in await simulation.active()])

    assert reported == [[], [], [], ["by"], ["percent"], ["percent"], ["percent"], []]
    cursor = await connection.execute("SELECT message FROM system_alerts ORDER BY id")
    assert [row[0] for row in await cursor.fetchall()] == [
        "Load changed by 5 (limit 4), average of 1 min",
        "Load changed by -21.4 % (lower limit -20 %), average of 1 min",
    ]


async def test_a_ratio_divides_series_of_the_same_labels(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(
            name="errors", kind="ratio", metric="errors", over="calls", agg="sum",
            levels={Level.WARNING: 0.1},
        )
    )  # fmt: skip
    simulation.now = 1
    await simulation.measure(
        {
            instance(0, "errors"): [1, 2], instance(0, "calls"): [10, 10],
            instance(1, "errors"): [1, 0], instance(1, "calls"): [10, 10],
            instance(2, "errors"): [5], instance(2, "calls"): [0],
            instance(3, "errors"): [5],
        }
    )  # fmt: skip

    assert await simulation.look() == [("thing-00", "opened")]
    [alert] = await simulation.active()
    assert alert.value == 0.15
    assert alert.message == "Errors per Calls at 0.15 (limit 0.1), sum of 1 min"


async def test_an_absence_rule_reports_a_series_that_stopped_sending(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(
            name="silent", kind="absence", metric="load", window="3m", no_data="alert",
            no_data_level=Level.CRITICAL,
        )
    )  # fmt: skip

    reported = [
        await simulation.pass_minute(value) for value in (None, 1, None, None, None, None, 2)
    ]

    assert reported == [[], [], [], [], ["opened"], [], ["resolved"]]


async def test_labels_choose_among_the_series_of_a_metric(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="disk", metric="disk", labels={"mount": "/"}, levels={Level.INFO: 1})
    )
    simulation.now = 1
    some = [(("host", "a"), ("mount", "/")), (("mount", "/data"),), ()]
    await simulation.measure(
        {Series(metric="disk", component="server", labels=labels): [5] for labels in some}
    )

    await simulation.look()

    assert [alert.labels for alert in await simulation.active()] == [{"host": "a", "mount": "/"}]


async def test_a_built_in_rule_that_was_deleted_stays_deleted(connection: Connection) -> None:
    await add_built_in_rules(connection)
    assert await store.delete(connection, ["cpu"])

    await add_built_in_rules(connection)

    assert "cpu" not in {stored.rule.name for stored in await store.read_page(connection)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": {}},
        {"levels": {"warning": 20, "critical": 10}},
        {"levels": {"warning": 10, "critical": 20}, "op": "<"},
        {"levels": {"warning": 10}, "recovery": {"warning": 11}},
        {"levels": {"warning": 10}, "recovery": {"critical": 5}},
        {"recovery": {"warning": 5}},
        {"levels": {"loud": 1}},
        {"levels": {"warning": 1e200}},
        {"window": "0s"},
        {"window": "8d"},
        {"window": "2d", "agg": "p95"},
        {"window": "2d", "agg": "rate"},
        {"window": "86430s"},
        {"window": "1 m"},
        {"window": "1m\n"},
        {"for": "8d"},
        {"escalate_after": "0s"},
        {"flap_count": -1},
        {"name": "a/b"},
        {"name": ""},
        {"metric": "a b"},
        {"kind": "change", "levels": {"info": 1}},
        {"kind": "ratio", "levels": {"info": 1}},
        {"kind": "absence"},
        {"kind": "change", "offset": "90s", "levels": {"info": 1}},
        {"offset": "1m"},
        {"over": "m"},
        {"relative": True},
        {"unknown": 1},
        {"name": "rule-error"},
        {"metric": None},
        {"all_of": ["b"]},
        {"kind": "composite", "metric": None},
        {"kind": "composite", "all_of": ["b"]},
        {"kind": "composite", "metric": None, "any_of": ["b"], "levels": {"info": 1}},
        {"kind": "burn", "objective": 99.9, "short_window": "5m"},
        {**BURN, "objective": 100},
        {**BURN, "short_window": "2h"},
        {**BURN, "window": "90s", "short_window": "1m"},
        {**BURN, "agg": "max"},
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "a", "metric": "m", **wrong}, Rule)


@pytest.mark.parametrize(
    "given",
    [
        {"levels": {"warning": 1}, "for": "90s", "window": "60", "escalate_after": "1d"},
        {"kind": "change", "offset": "1h", "relative": True, "levels": {"info": 1}, "op": "<="},
        {**BURN, "levels": {"critical": 14.4}},
        {"kind": "composite", "metric": None, "any_of": ["c", "d"], "by_component": True},
        {"component": "a", "labels": {"k": "v"}, "category": "security", "runbook": "docs"},
    ],
)  # fmt: skip
async def test_a_rule_comes_back_as_it_was_written(
    connection: Connection, given: dict[str, object]
) -> None:
    rule = msgspec.convert({"name": "a", "metric": "m", **given}, Rule)
    await store.insert(connection, rule, minute(0), "ana")
    [stored] = await store.read(connection, "a")

    assert rules.columns(stored.rule) == rules.columns(rule)
    assert (stored.updated_at, stored.updated_by) == (minute(0), "ana")


async def test_a_window_is_as_long_as_minutes_are_kept(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="week", metric="load", agg="min", window="7d", levels={Level.INFO: 1}, op="<"),
        Rule(
            name="more", metric="load", kind="change", window="7d", offset="1h",
            levels={Level.INFO: 1},
        ),
    )  # fmt: skip
    await rule_set.check(connection, ["week", "more"])
    await tiers.want(connection, tiers.Wanted("1m", timedelta(days=7), timedelta(hours=6)))

    await rule_set.check(connection, ["week"])
    with pytest.raises(InvalidError, match=r"more: window and offset together may not exceed 7d"):
        await rule_set.check(connection, ["week", "more"])
    await simulation.pass_minute(0.0)
    await simulation.pass_minute(5.0, at=7 * 1440)
    assert {alert.rule: alert.value for alert in await simulation.active()}["week"] == 0.0
    await simulation.pass_minute(5.0, at=7 * 1440 + 1)
    assert "week" not in {alert.rule for alert in await simulation.active()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": {"host": "a"}}, {"agg": "max"}, {"window": "5m"}, {"op": "<"}, {"no_data": "ok"},
    ],
)  # fmt: skip
def test_a_composite_measures_nothing(wrong: dict[str, object]) -> None:
    given = {"name": "both", "kind": "composite", "all_of": ["load"]}
    usual = {"labels": {}, "agg": "avg", "window": "60s", "op": ">", "no_data": "keep"}

    msgspec.convert({**given, **usual}, Rule)
    with pytest.raises(msgspec.ValidationError, match="because it measures nothing"):
        msgspec.convert({**given, **wrong}, Rule)
