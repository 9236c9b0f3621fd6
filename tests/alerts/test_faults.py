"""A rule that cannot be evaluated is set aside, says so once, and is in nobody's way."""

from collections.abc import AsyncIterator

import pytest

from db import rules
from db.alerts import Alert, steps
from db.queries import Connection, Pool
from db.rules import Rule
from tests.alerts.world import World, minute, thing
from vigia.model import Level

PARTS = thing(0, "parts")
WHOLE = thing(0, "whole")
RATIO = Rule(name="share", kind="ratio", metric="parts", over="whole", levels={Level.INFO: 2})
PLAIN = Rule(name="plain", metric="parts", levels={Level.INFO: 5})


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


async def turn(world: World, parts: float, whole: float) -> dict[str, Alert]:
    """Let a minute pass as it does in the service; return what is open by rule."""
    world.now += 1
    await world.measure({PARTS: [parts], WHOLE: [1.0]})
    await world.connection.execute(
        "UPDATE system_metrics SET value = %s WHERE time = %s AND series_id ="
        " (SELECT id FROM series WHERE metric = 'whole')",
        [whole, minute(world.now - 1)],
    )
    await world.announce()
    return {alert.rule: alert for alert in await world.active()}


async def errors(connection: Connection) -> list[tuple[str, str | None]]:
    cursor = await connection.execute("SELECT name, error FROM alert_rules ORDER BY id")
    return await cursor.fetchall()


async def test_a_rule_that_fails_says_so_once_and_the_others_are_evaluated(
    connection: Connection,
) -> None:
    world = World(connection)
    await world.add(*[Rule(name=f"a{i}", metric="parts", levels={Level.INFO: i}) for i in range(9)])
    await world.add(RATIO, PLAIN)

    first = await turn(world, 10, 1)
    assert {"share", "plain", "a0", "a8"} <= set(first)
    for _ in range(3):
        second = await turn(world, 1e140, 1e-300)

    assert set(second) == {*first, "rule-error"}
    told = second["rule-error"]
    assert (told.title, told.labels) == ("rule share cannot be evaluated", {"rule": "share"})
    assert "out of range" in told.message
    assert (told.opened_at, len(await steps(connection, told.id))) == (minute(2), 1)
    assert second["share"].opened_at == minute(1)
    assert [name for name, error in await errors(connection) if error] == ["share"]


async def test_it_is_tried_again_and_goes_on_where_it_was(connection: Connection) -> None:
    world = World(connection)
    await world.add(RATIO, PLAIN)
    await turn(world, 10, 1)
    await turn(world, 1e140, 1e-300)

    for _ in range(6):
        after = await turn(world, 10, 1)

    assert set(after) == {"share", "plain"}
    assert after["share"].opened_at == minute(1)
    assert await errors(connection) == [("share", None), ("plain", None)]


@pytest.mark.parametrize(("policy", "is_open"), [("keep", True), ("ok", False), ("alert", True)])
async def test_the_policy_says_what_becomes_of_what_fires(
    connection: Connection, policy: str, *, is_open: bool
) -> None:
    world = World(connection)
    row = {**rules.columns(RATIO), "on_error": policy, "no_data_level": "critical"}
    await world.add(rules.of_columns(row))
    await turn(world, 10, 1)

    after = await turn(world, 1e140, 1e-300)

    assert ("share" in after) == is_open
    if policy == "alert":
        assert after["share"].level == Level.CRITICAL


async def test_a_change_of_the_rule_is_a_new_start(connection: Connection) -> None:
    world = World(connection)
    await world.add(RATIO)
    await turn(world, 1e140, 1e-300)
    quiet = rules.of_columns({**rules.columns(RATIO), "labels": {"k": "v"}})
    assert await rules.update(connection, quiet, minute(1), "ana")

    assert await turn(world, 1e140, 1e-300) == {}
