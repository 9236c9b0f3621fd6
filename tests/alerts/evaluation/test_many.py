"""Many rules over many series: no rule is compared with every series, and nobody waits long."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts import clock
from alerts.evaluation import statement
from alerts.evaluation.evaluator import TOGETHER_MAX, evaluate
from alerts.evaluation.statement import EVALUATE, PLAN_FOR_MANY, Shard, TooManyError
from alerts.rules import store as rules
from alerts.rules.model import Rule
from db.queries import Connection, Pool
from events import bus
from model.limits import REMOVAL_GRACE
from model.series import Series
from model.severity import Level
from model.times import utc_now
from tests.alerts.simulation import Simulation, instance, minute

INSTANCES, RULES = 100, 500
REMOVED = re.compile(r"Rows Removed by Join Filter: (\d+)")


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def test_the_work_grows_with_the_rules_and_not_with_their_square(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    for number in range(RULES):
        component = instance(number % INSTANCES).component
        rule = Rule(
            name=f"r{number}", metric="load", component=component, levels={Level.INFO: number}
        )
        await rules.insert(connection, rule, minute(0), "ana")
    for _ in range(2):
        await simulation.pass_minute(*[250.0] * INSTANCES)
    asked = {
        "start": minute(3), "end": minute(3), "minutes": 0, "swept_from": minute(-7),
        "removal_grace": REMOVAL_GRACE, "thresholds": Jsonb({}),
        "last_at": minute(2), "tolerance_s": 3600, "grace_s": 600,
        "shard": 0, "shards": 1, "at_most": None,
    }  # fmt: skip
    async with connection.transaction(force_rollback=True):
        await connection.execute(PLAN_FOR_MANY, {"timeout_ms": 0})
        cursor = await connection.execute(b"EXPLAIN (ANALYZE) " + EVALUATE, asked)
        plan = "\n".join(row[0] for row in await cursor.fetchall())

    removed = sum(int(count) for count in REMOVED.findall(plan))
    assert removed < 2 * RULES, plan
    assert len(await simulation.active()) == RULES // 2


async def test_the_planner_is_set_for_the_evaluation_alone(connection: Connection) -> None:
    async with connection.transaction():
        await statement.evaluate(connection, minute(1), {})

    cursor = await connection.execute("SELECT current_setting('enable_nestloop')")
    assert await cursor.fetchone() == ("on",)


async def test_shares_do_together_what_the_whole_does(connection: Connection) -> None:
    """Of what opens, moves, waits, resolves and is gone, each is in one share."""
    simulation = Simulation(connection)
    draw = random.Random(4)
    await simulation.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5, Level.CRITICAL: 8}),
        Rule(name="slow", metric="load", levels={Level.INFO: 5}, for_="2m"),
        Rule(name="gone", metric="load", levels={Level.INFO: 5}),
        Rule(name="both", kind="composite", any_of=("high", "slow"), by_component=True),
    )
    for _ in range(3):
        await simulation.pass_minute(*[draw.uniform(0, 10) for _ in range(INSTANCES)])
    await connection.execute("UPDATE alert_rules SET component = 'x' WHERE name = 'gone'")
    simulation.now += 1
    await simulation.measure(
        {instance(number): [draw.uniform(0, 10)] for number in range(INSTANCES)}
    )

    whole = await told_in_shares(simulation, 1)
    assert {transition for _, _, transition in whole} == {
        "opened",
        "escalated",
        "lowered",
        "resolved",
    }
    assert {rule for rule, _, _ in whole} == {"high", "slow", "gone", "both"}
    for count in (2, 7):
        assert await told_in_shares(simulation, count) == whole


async def told_in_shares(simulation: Simulation, count: int) -> list[tuple[str, str, str]]:
    """Return what a minute does in so many shares, and undo it."""
    async with simulation.connection.transaction(force_rollback=True):
        transitions = [
            transition
            for number in range(count)
            for transition in await statement.evaluate(
                simulation.connection, minute(simulation.now), {}, Shard(number, count)
            )
        ]
        moved = {
            alert.id: alert
            for alert in await simulation.read([transition.alert_id for transition in transitions])
        }
        assert len(moved) == len(transitions)
        return sorted(
            (
                moved[transition.alert_id].rule,
                moved[transition.alert_id].component,
                transition.transition,
            )
            for transition in transitions
        )


async def test_too_many_changes_change_nothing(connection: Connection) -> None:
    simulation = Simulation(connection)
    await simulation.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
    simulation.now = 1
    await simulation.measure({instance(number): [9.0] for number in range(INSTANCES)})
    async with connection.transaction():
        with pytest.raises(TooManyError, match="100 changes"):
            await statement.evaluate(connection, minute(1), {}, at_most=INSTANCES - 1)
        states = await connection.execute("SELECT count(*) FROM alert_states")
        assert (await simulation.active(), await states.fetchone()) == ([], (0,))
        assert (
            len(await statement.evaluate(connection, minute(1), {}, at_most=INSTANCES)) == INSTANCES
        )


async def test_a_storm_is_recorded_and_told_once_and_others_are_served_meanwhile(
    connection: Connection,
) -> None:
    simulation = Simulation(connection)
    many = 2 * TOGETHER_MAX + 1
    await simulation.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
    simulation.now = 1
    await simulation.measure({instance(number): [9.0] for number in range(many)})
    await simulation.announce()

    opened = await connection.execute(
        "SELECT count(*), count(DISTINCT component), count(DISTINCT opened_at),"
        " (SELECT count(*) FROM system_alert_events) FROM system_alerts WHERE state = 'firing'"
    )
    assert await opened.fetchone() == (many, many, 1, many)
    reported = [len(one.payload["alerts"]) for one in await bus.after(connection, 0, 1000)]  # type: ignore[arg-type]
    assert sum(reported) == many
    xmins = await connection.execute("SELECT count(DISTINCT xmin::text) FROM system_alerts")
    assert await xmins.fetchone() == (3,)
    assert max(reported) <= TOGETHER_MAX
    await simulation.announce()
    assert len(await bus.after(connection, 0, 1000)) == len(reported)


CHILDREN = 2 * TOGETHER_MAX + 1


def children() -> dict[Series, list[float]]:
    return {instance(number): [9.0] for number in range(CHILDREN)}


async def told_of(connection: Connection) -> list[dict[str, Any]]:
    """Return each alert as the bus told of it, in order."""
    found: list[Any] = [event.payload for event in await bus.after(connection, 0, 10_000)]
    return [alert for payload in found for alert in payload.get("alerts", [payload])]


async def test_in_a_storm_nobody_hears_of_what_its_parent_holds_back(
    connection: Connection,
) -> None:
    """Whatever share the parent is in: none is told of before all are known."""
    simulation = Simulation(connection)
    simulation.dependencies = {
        instance(number).component: ["database"] for number in range(CHILDREN)
    }
    down = Series(metric="component_up", component="database")
    await simulation.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5}),
        Rule(name="down", metric="component_up", op="<", levels={Level.CRITICAL: 1}),
    )
    simulation.now = 1
    await simulation.measure({**children(), down: [0.0]})

    await simulation.announce()

    reported = await told_of(connection)
    assert len(reported) == CHILDREN + 1
    assert {alert["id"] for alert in reported if not alert["suppressed_by"]} == {
        alert["id"] for alert in reported if alert["rule"] == "down"
    }
    audit = await connection.execute("SELECT type, count(*) FROM system_alert_events GROUP BY type")
    assert dict(await audit.fetchall()) == {"opened": CHILDREN + 1, "suppressed": CHILDREN}


@pytest.mark.parametrize("minutes", [1, 5])
async def test_an_evaluation_that_stops_between_batches_loses_and_repeats_nothing(
    pool: Pool, connection: Connection, minutes: int
) -> None:
    simulation = Simulation(connection)
    await simulation.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5}),
        Rule(name="slow", metric="load", levels={Level.INFO: 5}, for_="30m"),
    )
    simulation.now = 1
    await simulation.measure(children())
    await end_between_shares(pool, simulation)
    assert await told_of(connection) == []

    simulation.now += minutes
    await simulation.measure(children())
    await simulation.announce()

    opened = await connection.execute(
        "SELECT count(*), count(DISTINCT component), count(DISTINCT opened_at),"
        " (SELECT count(*) FROM system_alert_events), (SELECT count(*) FROM alert_states),"
        " (SELECT count(*) FROM system_alert_events WHERE NOT is_announced)"
        " FROM system_alerts WHERE state = 'firing' AND rule = 'high'"
    )
    assert await opened.fetchone() == (CHILDREN, CHILDREN, 2, CHILDREN, 2 * CHILDREN, 0)
    reported = [alert["id"] for alert in await told_of(connection)]
    assert (len(reported), len(set(reported))) == (CHILDREN, CHILDREN)
    await simulation.announce()
    assert len(await told_of(connection)) == CHILDREN


async def end_between_shares(pool: Pool, simulation: Simulation) -> None:
    """Evaluate, and end it once its first share is stored."""
    async with pool.connection() as own:
        pass_minute = asyncio.create_task(
            evaluate(own, minute(simulation.now), {}, on_transitions=[])
        )
        opened = (0,)
        while opened == (0,):
            found = await simulation.connection.execute(
                "SELECT count(*)::integer FROM system_alerts"
            )
            [opened] = await found.fetchall()
        pass_minute.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pass_minute
    clock = await simulation.connection.execute("SELECT evaluated_at FROM evaluation_clock")
    assert (await clock.fetchone(), opened[0] < CHILDREN) == ((None,), True)


async def test_a_minute_that_is_over_is_not_evaluated_again(pool: Pool) -> None:
    """Of two evaluators one may be late, or its clock set back a little; or it was wrong before."""
    async with pool.connection() as first, pool.connection() as second:
        one, other = Simulation(first), Simulation(second)
        await one.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
        other.now = 119
        await other.measure({instance(): [9.0]})
        for one.now in (118, 119, 120):
            await one.measure({instance(): [1.0]})
        await one.announce()
        assert await evaluate(second, minute(119), {}, on_transitions=[]) == []
        assert await evaluate(second, minute(120), {}, on_transitions=[]) == []
        assert await clock_of(first) == minute(120)

        assert await other.active() == []
        await evaluate(second, minute(60), {}, on_transitions=[])
        assert await clock_of(first) == minute(60)
        other.now = 61
        await other.measure({instance(): [9.0]})
        assert [
            transition.transition
            for transition in await evaluate(second, minute(61), {}, on_transitions=[])
        ] == ["opened"]


@pytest.mark.parametrize("minutes", [3, 57, 61])
async def test_after_a_clock_that_was_ahead_evaluation_goes_on_at_once(
    pool: Pool, minutes: int
) -> None:
    """The minutes it evaluated have not been yet, as the database's clock says."""
    now = utc_now().replace(second=0, microsecond=0)
    async with pool.connection() as connection:
        await evaluate(connection, now - timedelta(minutes=1), {}, on_transitions=[])
        await evaluate(connection, now + timedelta(minutes=minutes), {}, on_transitions=[])
        await evaluate(connection, now, {}, on_transitions=[])
        assert await clock_of(connection) == now
        cursor = await connection.execute(
            "SELECT count(*) FROM evaluation_gaps WHERE end_time > %s", [now]
        )
        assert await cursor.fetchone() == (0,)


async def test_the_same_minute_may_be_evaluated_by_two(pool: Pool) -> None:
    async with pool.connection() as first, pool.connection() as second:
        simulation = Simulation(first)
        await simulation.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
        simulation.now = 1
        await simulation.measure(children())
        both = [evaluate(one, minute(1), {}, on_transitions=[]) for one in (first, second)]
        found = await asyncio.gather(*both)
        assert sum(len(transitions) for transitions in found) == CHILDREN
        assert len(await told_of(first)) == CHILDREN


async def clock_of(connection: Connection) -> datetime | None:
    return (await clock.lock(connection)).evaluated_at
