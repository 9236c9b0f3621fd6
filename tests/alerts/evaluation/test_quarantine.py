"""A rule that cannot be evaluated is quarantined, raises one alert, and affects no other rule."""

from collections.abc import AsyncIterator

import msgspec
import psycopg
import pytest

from alerts.evaluation import bisection, cost, statement
from alerts.evaluation.bisection import SUSPECTS_MAX, TOGETHER
from alerts.evaluation.evaluator import evaluate
from alerts.evaluation.quarantine import Limits
from alerts.preview import preview
from alerts.rules import model as rules
from alerts.rules import store
from alerts.rules.model import Rule
from alerts.store import Alert, transitions
from db.engine import Engine
from db.queries import Connection, Pool
from model.errors import InvalidError
from model.series import Sample
from model.severity import Level
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.alerts.simulation import Simulation, instance, minute

PARTS = instance(0, "parts")
WHOLE = instance(0, "whole")
RATIO = Rule(name="share", kind="ratio", metric="parts", over="whole", levels={Level.INFO: 2})
PLAIN = Rule(name="plain", metric="parts", levels={Level.INFO: 5})


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def measured(simulation: Simulation, parts: float, whole: float) -> None:
    """Let a minute pass that nobody has evaluated yet."""
    simulation.now += 1
    await simulation.measure({PARTS: [parts], WHOLE: [1.0]})
    await simulation.connection.execute(
        "UPDATE system_metrics SET value = %s WHERE time = %s AND series_id ="
        " (SELECT id FROM series WHERE metric = 'whole')",
        [whole, minute(simulation.now - 1)],
    )


async def pass_minute(simulation: Simulation, parts: float, whole: float) -> dict[str, Alert]:
    """Let a minute pass as it does in the service; return what is open by rule."""
    await measured(simulation, parts, whole)
    await simulation.announce()
    return {alert.rule: alert for alert in await simulation.active()}


async def errors(connection: Connection) -> list[tuple[str, str | None]]:
    cursor = await connection.execute("SELECT name, error FROM alert_rules ORDER BY id")
    return await cursor.fetchall()


async def test_a_rule_that_fails_says_so_once_and_the_others_are_evaluated(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        *[Rule(name=f"a{i}", metric="parts", levels={Level.INFO: i}) for i in range(9)]
    )
    await simulation.add(RATIO, PLAIN)

    first = await pass_minute(simulation, 10, 1)
    assert {"share", "plain", "a0", "a8"} <= set(first)
    for _ in range(3):
        second = await pass_minute(simulation, 1e140, 1e-300)

    assert set(second) == {*first, "rule-error"}
    reported = second["rule-error"]
    assert (reported.title, reported.labels) == (
        "rule share cannot be evaluated",
        {"rule": "share"},
    )
    assert "out of range" in reported.message
    assert (reported.opened_at, len(await transitions(connection, reported.id))) == (minute(2), 1)
    assert second["share"].opened_at == minute(1)
    assert [name for name, error in await errors(connection) if error] == ["share"]


async def test_a_quarantined_rule_is_retried_and_continues_with_its_old_state(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    await simulation.add(RATIO, PLAIN)
    await pass_minute(simulation, 10, 1)
    await pass_minute(simulation, 1e140, 1e-300)

    for _ in range(6):
        after = await pass_minute(simulation, 10, 1)

    assert set(after) == {"share", "plain"}
    assert after["share"].opened_at == minute(1)
    assert await errors(connection) == [("share", None), ("plain", None)]


@pytest.mark.parametrize(("policy", "is_open"), [("keep", True), ("ok", False), ("alert", True)])
async def test_the_policy_says_what_becomes_of_what_fires(
    connection: Connection, policy: str, *, is_open: bool
) -> None:
    simulation = Simulation(connection)
    row = {**rules.columns(RATIO), "on_error": policy, "no_data_level": "critical"}
    await simulation.add(rules.of_columns(row))
    await pass_minute(simulation, 10, 1)

    after = await pass_minute(simulation, 1e140, 1e-300)

    assert ("share" in after) == is_open
    if policy == "alert":
        assert after["share"].level == Level.CRITICAL


async def test_an_error_may_raise_what_was_well_once_that_was_seen(connection: Connection) -> None:
    """At the level for no data, in the minute in which the rule is set aside, until it is well."""
    row = {**rules.columns(RATIO), "on_error": "alert", "no_data_level": "critical"}
    simulation = Simulation(connection)
    await simulation.add(rules.of_columns(row))
    assert set(await pass_minute(simulation, 1e140, 1e-300)) == {"rule-error"}
    for _ in range(6):
        assert set(await pass_minute(simulation, 1, 1)) <= {"rule-error"}

    breached = await pass_minute(simulation, 1e140, 1e-300)

    assert set(breached) == {"share", "rule-error"}
    assert (breached["share"].level, breached["share"].opened_at) == (Level.CRITICAL, minute(8))
    for _ in range(6):
        after = await pass_minute(simulation, 1, 1)
    assert after == {}


async def test_a_change_of_the_rule_is_a_new_start(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(RATIO)
    await pass_minute(simulation, 1e140, 1e-300)
    not_firing = rules.of_columns({**rules.columns(RATIO), "labels": {"k": "v"}})
    assert await store.update(connection, not_firing, minute(1), "ana")

    assert await pass_minute(simulation, 1e140, 1e-300) == {}


async def many(connection: Connection, count: int) -> None:
    """Series that nobody has measured for long, but that a rule would look for."""
    await connection.execute(
        "INSERT INTO series (metric, component, category)"
        " SELECT 'parts', 'old-' || i, 'system' FROM generate_series(1, %s) i",
        [count],
    )


async def test_a_hopeless_rule_is_not_even_begun_and_the_others_are_evaluated(
    connection: Connection,
) -> None:
    """It says so once, stays aside while it is tried again, and is well with fewer series."""
    hopeless = Rule(name="p99", metric="parts", agg="p99", window="1d", levels={Level.INFO: 1})
    simulation = Simulation(connection)
    await simulation.add(hopeless, PLAIN)
    assert set(await pass_minute(simulation, 10, 1)) == {"p99", "plain"}
    await many(connection, 2000)

    for _ in range(7):
        open_now = await pass_minute(simulation, 10, 1)
        assert set(open_now) == {"p99", "plain", "rule-error"}
    reported = open_now["rule-error"]
    assert reported.opened_at == minute(2)
    assert reported.message.startswith("it would read about 11,533,764 rows each minute")

    await connection.execute("DELETE FROM series WHERE component LIKE 'old-%'")
    for _ in range(6):
        open_now = await pass_minute(simulation, 10, 1)
    assert set(open_now) == {"p99", "plain"}


async def test_the_costliest_rules_are_quarantined_if_all_together_are_too_slow(
    connection: Connection, engine: Engine
) -> None:
    """What several read alike is counted once."""
    rows_max = 1_000_000 if engine.embedded else 5_000_000
    await many(connection, rows_max // 5760 // 2)
    simulation = Simulation(connection)
    for window in ("1d", "12h", "10m"):
        for name in ("a", "b"):
            await simulation.add(
                Rule(name=f"{name}{window}", metric="parts", agg="p99", window=window,
                     levels={Level.INFO: 5})
            )  # fmt: skip
    assert await cost.too_costly(connection, minute(0)) == {}
    await simulation.add(
        Rule(name="more", metric="parts", agg="p99", window="18h", levels={Level.INFO: 5})
    )

    await pass_minute(simulation, 10, 1)

    assert [name for name, error in await errors(connection) if error] == ["a1d", "b1d"]


async def test_a_hopeless_rule_cannot_be_tried_either(pool: Pool, connection: Connection) -> None:
    hopeless = Rule(name="p99", metric="parts", agg="p99", window="1d", levels={Level.INFO: 1})
    await many(connection, 2000)
    with pytest.raises(InvalidError, match="it would read about 11,528,000 rows each minute"):
        await preview.run(pool.connection, hopeless, {}, minute(0), minute(9))
    await connection.execute("DELETE FROM series WHERE component LIKE 'old-__%'")
    with pytest.raises(
        InvalidError, match="more than 500,000,000 rows; choose a shorter time range"
    ):
        await preview.run(pool.connection, hopeless, {}, minute(0), minute(30 * 1440))
    found = await preview.run(pool.connection, hopeless, {}, minute(0), minute(9))
    assert found.alerts == []


async def break_state_of(connection: Connection, rule: str) -> None:
    """Let only the judgement of a rule fail: no time is as far from another as these."""
    await connection.execute(
        "INSERT INTO alert_states (rule_id, component, labels, phase, since, missing_since,"
        " value_rank, floor_rank, acknowledged, opens, is_flapping)"
        " SELECT id, coalesce(component, ''), '{}', 'pending', '-infinity', '-infinity',"
        " 0, 0, false, '{}', false"
        " FROM alert_rules WHERE name = %s",
        [rule],
    )


async def test_a_rule_that_fails_only_with_its_state_is_found_too(connection: Connection) -> None:
    simulation = Simulation(connection)
    waiting = Rule(name="waiting", metric="parts", component=PARTS.component, for_="2m",
                   levels={Level.INFO: 5})  # fmt: skip
    await simulation.add(
        *[Rule(name=f"a{i}", metric="parts", levels={Level.INFO: i}) for i in range(9)]
    )
    await simulation.add(waiting, PLAIN)
    await break_state_of(connection, "waiting")

    open_now = await pass_minute(simulation, 10, 1)

    assert {"plain", "rule-error", "a0"} <= set(open_now)
    assert [name for name, error in await errors(connection) if error] == ["waiting"]


async def test_a_composite_that_fails_is_found_and_only_that(connection: Connection) -> None:
    """It fails of what the others say in this very minute."""
    simulation = Simulation(connection)
    await simulation.add(PLAIN, Rule(name="other", metric="parts", levels={Level.INFO: 1}))
    names = [f"both{i}" for i in range(5)]
    await simulation.add(
        *[Rule(name=n, kind="composite", all_of=("plain", "other")) for n in names]
    )
    await break_state_of(connection, "both3")

    open_now = await pass_minute(simulation, 10, 1)

    assert set(open_now) == {"plain", "other", "rule-error", "both0", "both1", "both2", "both4"}
    assert [name for name, error in await errors(connection) if error] == ["both3"]


async def test_without_time_to_tell_which_it_is_the_costliest_go_and_the_good_come_back(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    good = [Rule(name=f"a{i:02}", metric="parts", levels={Level.INFO: i}) for i in range(25)]
    await simulation.add(*good[:9], RATIO, *good[9:])
    await pass_minute(simulation, 10, 1)
    await measured(simulation, 1e140, 1e-300)

    await evaluate(
        connection, minute(simulation.now), {}, limits=Limits(search_s=0), on_transitions=[]
    )

    breached = {name for name, error in await errors(connection) if error}
    assert (len(breached), "share" in breached) == (SUSPECTS_MAX, True)
    for _ in range(6):
        open_now = await pass_minute(simulation, 1e140, 1e-300)
    assert {name for name, error in await errors(connection) if error} == {"share"}
    assert "rule-error" in open_now


async def test_nothing_is_quarantined_when_all_is_well_again(connection: Connection) -> None:
    """The evaluation may have waited too long for somebody else."""
    simulation = Simulation(connection)
    await simulation.add(RATIO, PLAIN)
    await measured(simulation, 10, 1)

    probes = await bisection.quarantine_failing(
        connection, minute(1), {}, psycopg.errors.QueryCanceled()
    )

    assert probes == 2
    assert await errors(connection) == [("share", None), ("plain", None)]


async def test_however_many_stay_broken_each_is_tried_again(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(*[msgspec.structs.replace(RATIO, name=f"share{i:02}") for i in range(30)])
    for _ in range(3):
        await pass_minute(simulation, 1e140, 1e-300)
    assert all(error for _, error in await errors(connection))
    await connection.execute("UPDATE alert_rules SET over = 'parts' WHERE name = 'share29'")

    for _ in range(11):
        await pass_minute(simulation, 1e140, 1e-300)

    assert [name for name, error in await errors(connection) if not error] == ["share29"]


SLOW = ("slow-a", "slow-b")
HASTE = Limits(evaluation_ms=1500, probe_ms=1000, together_ms=500)
"""A slow rule takes at least twice as long by itself, a good one a thirtieth."""


async def heavy(connection: Connection) -> None:
    """Half a million samples in the hour before the first minute, in one series."""
    await insert(connection, SeriesNumbers(), [Sample(instance(0, "heavy"), minute(0), 1.0)])
    await connection.execute(
        "INSERT INTO system_metrics (time, series_id, value)"
        " SELECT %s - n * interval '7 ms', id, random()"
        " FROM series, generate_series(1, 500000) n WHERE metric = 'heavy'",
        [minute(0)],
    )


def slow(name: str, window: str) -> Rule:
    return Rule(name=name, kind="change", metric="heavy", agg="p99", window=window, offset="1m",
                levels={Level.INFO: 1})  # fmt: skip


async def test_rules_that_are_too_slow_are_found_and_the_others_evaluated_in_the_same_minute(
    connection: Connection, engine: Engine
) -> None:
    """Two of a hundred run into the time limit of the server, the evaluation first."""
    if engine.embedded:
        pytest.skip("nothing interrupts the embedded engine: it begins no such rule")
    simulation = Simulation(connection)
    good = [Rule(name=f"a{i:02}", metric="parts", levels={Level.INFO: 5}) for i in range(98)]
    await simulation.add(*good[:49], slow("slow-a", "57m"), slow("slow-b", "58m"), *good[49:])
    await heavy(connection)
    simulation.now = 1
    await simulation.measure({PARTS: [10.0]})
    with pytest.raises(psycopg.errors.QueryCanceled):
        async with connection.transaction():
            await statement.evaluate(connection, minute(1), {}, timeout_ms=1500)

    await evaluate(connection, minute(1), {}, limits=HASTE, on_transitions=[])

    breached = {name: error for name, error in await errors(connection) if error}
    assert breached == dict.fromkeys(SLOW, "canceling statement due to statement timeout")
    opened = [alert for alert in await simulation.active() if alert.opened_at == minute(1)]
    assert sum(alert.rule == "rule-error" for alert in opened) == 2
    assert {alert.rule for alert in opened} >= {rule.name for rule in good}

    await connection.execute("UPDATE alert_rules SET error = NULL")
    cause = psycopg.errors.QueryCanceled()
    assert await bisection.quarantine_failing(connection, minute(2), {}, cause, HASTE) <= 12
    assert {name for name, error in await errors(connection) if error} == set(SLOW)


async def test_rules_that_are_too_slow_only_together_lose_the_costliest(
    connection: Connection, engine: Engine
) -> None:
    if engine.embedded:
        pytest.skip("nothing interrupts the embedded engine")
    simulation = Simulation(connection)
    await simulation.add(PLAIN, *[slow(f"slow-{i}", f"{i}s") for i in range(150, 180)])
    await heavy(connection)
    simulation.now = 1
    await simulation.measure({PARTS: [10.0]})

    await evaluate(connection, minute(1), {}, limits=HASTE, on_transitions=[])

    breached = {name: error for name, error in await errors(connection) if error}
    assert TOGETHER in breached.values()
    assert "slow-179" in breached
    assert "slow-150" not in breached
    assert {alert.rule for alert in await simulation.active()} == {"plain", "rule-error"}
