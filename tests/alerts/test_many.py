"""Many rules over many series are joined by hashing: nothing is compared with everything."""

import re
from collections.abc import AsyncIterator

import pytest
from psycopg.types.json import Jsonb

from db import evaluation, rules
from db.evaluation import EVALUATE, PLAN_FOR_MANY
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
        "start": minute(3), "end": minute(3), "minutes": 0, "sweep": True, "thresholds": Jsonb({}),
        "last_at": minute(2), "tolerance_s": 3600, "grace_s": 600,
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
