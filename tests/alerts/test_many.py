"""Many rules over many series: nothing is compared with everything, and nobody waits long."""

import random
import re
from collections.abc import AsyncIterator

import pytest
from psycopg.types.json import Jsonb

from alerts.evaluate import TOGETHER_MAX
from db import evaluation, events, rules
from db.evaluation import EVALUATE, PLAN_FOR_MANY, Share, TooManyError
from db.queries import Connection, Pool
from db.rules import Rule
from tests.alerts.world import World, minute, thing
from vigia.model import Level

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
    await world.announce()
    assert len(await events.after(connection, 0, 1000)) == len(told)
