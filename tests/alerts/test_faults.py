"""A rule that cannot be evaluated is set aside, says so once, and is in nobody's way."""

from collections.abc import AsyncIterator

import pytest

from db import cost, rules, trial
from db.alerts import Alert, steps
from db.engine import Engine
from db.queries import Connection, Pool
from db.rules import Rule
from tests.alerts.world import World, minute, thing
from vigia.model import InvalidError, Level

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
    world = World(connection)
    await world.add(hopeless, PLAIN)
    assert set(await turn(world, 10, 1)) == {"p99", "plain"}
    await many(connection, 2000)

    for _ in range(7):
        open_now = await turn(world, 10, 1)
        assert set(open_now) == {"p99", "plain", "rule-error"}
    told = open_now["rule-error"]
    assert told.opened_at == minute(2)
    assert told.message.startswith("it would read about 11,525,760 rows each minute")

    await connection.execute("DELETE FROM series WHERE component LIKE 'old-%'")
    for _ in range(6):
        open_now = await turn(world, 10, 1)
    assert set(open_now) == {"p99", "plain"}


async def test_of_rules_that_are_too_much_together_the_costliest_are_set_aside(
    connection: Connection, engine: Engine
) -> None:
    """What several read alike is counted once, and short windows are free."""
    rows_max = 1_000_000 if engine.embedded else 5_000_000
    await many(connection, rows_max // 5760 // 2)
    world = World(connection)
    for window in ("1d", "12h", "10m"):
        for name in ("a", "b"):
            await world.add(
                Rule(name=f"{name}{window}", metric="parts", agg="p99", window=window,
                     levels={Level.INFO: 5})
            )  # fmt: skip
    assert await cost.too_costly(connection) == {}
    await world.add(
        Rule(name="more", metric="parts", agg="p99", window="18h", levels={Level.INFO: 5})
    )

    await turn(world, 10, 1)

    assert [name for name, error in await errors(connection) if error] == ["a1d", "b1d"]


async def test_a_hopeless_rule_cannot_be_tried_either(pool: Pool, connection: Connection) -> None:
    hopeless = Rule(name="p99", metric="parts", agg="p99", window="1d", levels={Level.INFO: 1})
    await many(connection, 2000)
    with pytest.raises(InvalidError, match="it would read about 11,520,000 rows each minute"):
        await trial.run(pool.connection, hopeless, {}, minute(0), minute(9))
    await connection.execute("DELETE FROM series WHERE component LIKE 'old-__%'")
    with pytest.raises(InvalidError, match="over 500,000,000 rows: ask for less time"):
        await trial.run(pool.connection, hopeless, {}, minute(0), minute(30 * 1440))
    found = await trial.run(pool.connection, hopeless, {}, minute(0), minute(9))
    assert found.alerts == []
