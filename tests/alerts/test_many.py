"""Many rules over many series: nothing is compared with everything, and nobody waits long."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.evaluate import TOGETHER_MAX, evaluate
from db import evaluation, events, rules
from db.evaluation import EVALUATE, PLAN_FOR_MANY, Share, TooManyError
from db.queries import Connection, Pool
from db.rules import Rule
from tests.alerts.world import World, minute, thing
from vigia.model import Level, Series, utc_now

THINGS, RULES = 100, 500
REMOVED = re.compile(r"Rows Removed by Join Filter: (\d+)")


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def test_the_work_grows_with_the_rules_and_not_with_their_square(
    connection: Connection,
) -> None:
    world = World(connection)
    for number in range(RULES):
        component = thing(number % THINGS).component
        rule = Rule(
            name=f"r{number}", metric="load", component=component, levels={Level.INFO: number}
        )
        await rules.insert(connection, rule, minute(0), "ana")
    for _ in range(2):
        await world.turn(*[250.0] * THINGS)
    asked = {
        "start": minute(3), "end": minute(3), "minutes": 0, "swept_from": minute(-7),
        "thresholds": Jsonb({}),
        "last_at": minute(2), "tolerance_s": 3600, "grace_s": 600,
        "share": 0, "shares": 1, "at_most": None,
    }  # fmt: skip
    async with connection.transaction(force_rollback=True):
        await connection.execute(PLAN_FOR_MANY, {"timeout_ms": 0})
        cursor = await connection.execute(b"EXPLAIN (ANALYZE) " + EVALUATE, asked)
        plan = "\n".join(row[0] for row in await cursor.fetchall())

    removed = sum(int(count) for count in REMOVED.findall(plan))
    assert removed < 2 * RULES, plan
    assert len(await world.active()) == RULES // 2


async def test_the_planner_is_set_for_the_evaluation_alone(connection: Connection) -> None:
    async with connection.transaction():
        await evaluation.evaluate(connection, minute(1), {})

    cursor = await connection.execute("SELECT current_setting('enable_nestloop')")
    assert await cursor.fetchone() == ("on",)


async def test_shares_do_together_what_the_whole_does(connection: Connection) -> None:
    """Of what opens, moves, waits, resolves and is gone, each is in one share."""
    world = World(connection)
    draw = random.Random(4)
    await world.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5, Level.CRITICAL: 8}),
        Rule(name="slow", metric="load", levels={Level.INFO: 5}, for_="2m"),
        Rule(name="gone", metric="load", levels={Level.INFO: 5}),
        Rule(name="both", kind="composite", any_of=("high", "slow"), by_component=True),
    )
    for _ in range(3):
        await world.turn(*[draw.uniform(0, 10) for _ in range(THINGS)])
    await connection.execute("UPDATE alert_rules SET component = 'x' WHERE name = 'gone'")
    world.now += 1
    await world.measure({thing(number): [draw.uniform(0, 10)] for number in range(THINGS)})

    whole = await told_in_shares(world, 1)
    assert {step for _, _, step in whole} == {"opened", "escalated", "lowered", "resolved"}
    assert {rule for rule, _, _ in whole} == {"high", "slow", "gone", "both"}
    for count in (2, 7):
        assert await told_in_shares(world, count) == whole


async def told_in_shares(world: World, count: int) -> list[tuple[str, str, str]]:
    """Return what a minute does in so many shares, and undo it."""
    async with world.connection.transaction(force_rollback=True):
        steps = [
            step
            for number in range(count)
            for step in await evaluation.evaluate(
                world.connection, minute(world.now), {}, Share(number, count)
            )
        ]
        moved = {alert.id: alert for alert in await world.read([step.alert_id for step in steps])}
        assert len(moved) == len(steps)
        return sorted(
            (moved[step.alert_id].rule, moved[step.alert_id].component, step.step) for step in steps
        )


async def test_too_many_changes_change_nothing(connection: Connection) -> None:
    world = World(connection)
    await world.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
    world.now = 1
    await world.measure({thing(number): [9.0] for number in range(THINGS)})
    async with connection.transaction():
        with pytest.raises(TooManyError, match="100 changes"):
            await evaluation.evaluate(connection, minute(1), {}, at_most=THINGS - 1)
        states = await connection.execute("SELECT count(*) FROM alert_states")
        assert (await world.active(), await states.fetchone()) == ([], (0,))
        assert len(await evaluation.evaluate(connection, minute(1), {}, at_most=THINGS)) == THINGS


async def test_a_storm_is_recorded_and_told_once_and_others_are_served_meanwhile(
    connection: Connection,
) -> None:
    world = World(connection)
    many = 2 * TOGETHER_MAX + 1
    await world.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
    world.now = 1
    await world.measure({thing(number): [9.0] for number in range(many)})
    await world.announce()

    opened = await connection.execute(
        "SELECT count(*), count(DISTINCT component), count(DISTINCT opened_at),"
        " (SELECT count(*) FROM system_alert_events) FROM system_alerts WHERE state = 'firing'"
    )
    assert await opened.fetchone() == (many, many, 1, many)
    told = [len(one.payload["alerts"]) for one in await events.after(connection, 0, 1000)]  # type: ignore[arg-type]
    assert sum(told) == many
    xmins = await connection.execute("SELECT count(DISTINCT xmin::text) FROM system_alerts")
    assert await xmins.fetchone() == (3,)
    assert max(told) <= TOGETHER_MAX
    await world.announce()
    assert len(await events.after(connection, 0, 1000)) == len(told)


CHILDREN = 2 * TOGETHER_MAX + 1


def children() -> dict[Series, list[float]]:
    return {thing(number): [9.0] for number in range(CHILDREN)}


async def told_of(connection: Connection) -> list[dict[str, Any]]:
    """Return each alert as the bus told of it, in order."""
    found: list[Any] = [event.payload for event in await events.after(connection, 0, 10_000)]
    return [alert for payload in found for alert in payload.get("alerts", [payload])]


async def test_in_a_storm_nobody_hears_of_what_its_parent_holds_back(
    connection: Connection,
) -> None:
    """Whatever share the parent is in: none is told of before all are known."""
    world = World(connection)
    world.ancestors = {thing(number).component: ["database"] for number in range(CHILDREN)}
    down = Series(metric="component_up", component="database")
    await world.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5}),
        Rule(name="down", metric="component_up", op="<", levels={Level.CRITICAL: 1}),
    )
    world.now = 1
    await world.measure({**children(), down: [0.0]})

    await world.announce()

    told = await told_of(connection)
    assert len(told) == CHILDREN + 1
    assert {alert["id"] for alert in told if not alert["held_by"]} == {
        alert["id"] for alert in told if alert["rule"] == "down"
    }
    audit = await connection.execute("SELECT type, count(*) FROM system_alert_events GROUP BY type")
    assert dict(await audit.fetchall()) == {"opened": CHILDREN + 1, "held": CHILDREN}


@pytest.mark.parametrize("minutes", [1, 5])
async def test_what_ends_between_two_shares_is_neither_lost_nor_doubled(
    pool: Pool, connection: Connection, minutes: int
) -> None:
    world = World(connection)
    await world.add(
        Rule(name="high", metric="load", levels={Level.INFO: 5}),
        Rule(name="slow", metric="load", levels={Level.INFO: 5}, for_="30m"),
    )
    world.now = 1
    await world.measure(children())
    await end_between_shares(pool, world)
    assert await told_of(connection) == []

    world.now += minutes
    await world.measure(children())
    await world.announce()

    opened = await connection.execute(
        "SELECT count(*), count(DISTINCT component), count(DISTINCT opened_at),"
        " (SELECT count(*) FROM system_alert_events), (SELECT count(*) FROM alert_states),"
        " (SELECT count(*) FROM untold_alerts)"
        " FROM system_alerts WHERE state = 'firing' AND rule = 'high'"
    )
    assert await opened.fetchone() == (CHILDREN, CHILDREN, 2, CHILDREN, 2 * CHILDREN, 0)
    told = [alert["id"] for alert in await told_of(connection)]
    assert (len(told), len(set(told))) == (CHILDREN, CHILDREN)
    await world.announce()
    assert len(await told_of(connection)) == CHILDREN


async def end_between_shares(pool: Pool, world: World) -> None:
    """Evaluate, and end it once its first share is stored."""
    async with pool.connection() as own:
        turn = asyncio.create_task(evaluate(own, minute(world.now), {}))
        opened = (0,)
        while opened == (0,):
            found = await world.connection.execute("SELECT count(*)::integer FROM system_alerts")
            [opened] = await found.fetchall()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    clock = await world.connection.execute("SELECT evaluated_at FROM alert_clock")
    assert (await clock.fetchone(), opened[0] < CHILDREN) == ((None,), True)


async def test_a_minute_that_is_over_is_not_evaluated_again(pool: Pool) -> None:
    """Of two evaluators one may be late, or its clock set back a little; or it was wrong before."""
    async with pool.connection() as first, pool.connection() as second:
        one, other = World(first), World(second)
        await one.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
        other.now = 119
        await other.measure({thing(): [9.0]})
        for one.now in (118, 119, 120):
            await one.measure({thing(): [1.0]})
        await one.announce()
        assert await evaluate(second, minute(119), {}) == []
        assert await evaluate(second, minute(120), {}) == []
        assert await clock_of(first) == minute(120)

        assert await other.active() == []
        await evaluate(second, minute(60), {})
        assert await clock_of(first) == minute(60)
        other.now = 61
        await other.measure({thing(): [9.0]})
        assert [step.step for step in await evaluate(second, minute(61), {})] == ["opened"]


@pytest.mark.parametrize("minutes", [3, 57, 61])
async def test_after_a_clock_that_was_ahead_evaluation_goes_on_at_once(
    pool: Pool, minutes: int
) -> None:
    """The minutes it evaluated have not been yet, as the database's clock says."""
    now = utc_now().replace(second=0, microsecond=0)
    async with pool.connection() as connection:
        await evaluate(connection, now - timedelta(minutes=1), {})
        await evaluate(connection, now + timedelta(minutes=minutes), {})
        await evaluate(connection, now, {})
        assert await clock_of(connection) == now
        cursor = await connection.execute(
            "SELECT count(*) FROM alert_gaps WHERE end_time > %s", [now]
        )
        assert await cursor.fetchone() == (0,)


async def test_the_same_minute_may_be_evaluated_by_two(pool: Pool) -> None:
    async with pool.connection() as first, pool.connection() as second:
        world = World(first)
        await world.add(Rule(name="high", metric="load", levels={Level.INFO: 5}))
        world.now = 1
        await world.measure(children())
        both = [evaluate(one, minute(1), {}) for one in (first, second)]
        found = await asyncio.gather(*both)
        assert sum(len(steps) for steps in found) == CHILDREN
        assert len(await told_of(first)) == CHILDREN


async def clock_of(connection: Connection) -> datetime | None:
    return (await evaluation.lock(connection)).evaluated_at
