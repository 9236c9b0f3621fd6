"""The demo is labelled, repeatable and moving, and is removed completely."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from collectors.trading import demo
from collectors.trading.market import Market, Tick
from collectors.trading.trading import DEMO_REASON, collect_demo_every
from db.engine import Engine
from db.queries import Connection, Pool
from model.errors import ConflictError
from model.series import Sample
from runtime.schedule import SlotStats

SHORT_DAY_S = 7200
TABLES = ("users", "positions", "trades")


@pytest.fixture
async def connection(
    migrated_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connection]:
    """A connection to a database without a demo, where a day is short."""
    monkeypatch.setattr(demo, "DAY_S", SHORT_DAY_S)
    async with migrated_pool.connection() as opened:
        await opened.execute("DROP SCHEMA IF EXISTS trading_demo CASCADE")
        yield opened
        await opened.execute("DROP SCHEMA IF EXISTS trading_demo CASCADE")


async def rows(connection: Connection, sql: str) -> list[Any]:
    cursor = await connection.execute(sql)
    return await cursor.fetchall()


async def one(connection: Connection, sql: str) -> Any:
    return (await rows(connection, sql))[0][0]


TRADES = "SELECT id, user_id, symbol, quantity, price, pnl FROM trading_demo.trades ORDER BY id"
AGE_SOME = "UPDATE trading_demo.trades SET executed_at = now() - interval '2 days' WHERE id <= 9"
POSITIONS = "SELECT count(*), count(*) FILTER (WHERE closed_at IS NULL) FROM trading_demo.positions"
FOREIGN = "CREATE SCHEMA trading_demo; CREATE TABLE trading_demo.mine AS SELECT 1"


async def test_the_same_seed_gives_the_same_day_and_another_seed_another_day(
    connection: Connection,
) -> None:
    days = []
    for seed in (1, 1, 2):
        await demo.create(connection, seed)
        days.append(await rows(connection, TRADES))

    assert days[0] == days[1]
    assert days[0] != days[2]
    assert len(days[0]) > 500


async def test_all_simulated_data_are_marked_as_simulated(connection: Connection) -> None:
    await demo.create(connection, 1)

    comments = await rows(
        connection,
        "SELECT obj_description('trading_demo'::regnamespace, 'pg_namespace') UNION ALL "
        "SELECT obj_description(oid, 'pg_class') FROM pg_class "
        "WHERE relnamespace = 'trading_demo'::regnamespace AND relkind = 'r'",
    )
    assert len(comments) == 1 + len(TABLES)
    assert all(comment.startswith("Simulated") for (comment,) in comments)
    assert await one(
        connection, "SELECT bool_and(name LIKE 'demo-%') AND count(*) > 0 FROM trading_demo.users"
    )


async def test_the_day_is_consistent_and_ends_now(connection: Connection) -> None:
    day = await demo.create(connection, 3)

    [(positions, closed)] = await rows(
        connection, "SELECT count(*), count(closed_at) FROM trading_demo.positions"
    )
    [(trades, realised, age_s)] = await rows(
        connection,
        "SELECT count(*), count(pnl), extract(epoch FROM now() - max(executed_at)) "
        "FROM trading_demo.trades",
    )
    assert (positions, trades) == (day.positions, day.trades)
    assert realised == closed
    assert trades == positions + closed
    assert 0 <= age_s < 120
    # Long and short, won and lost: a day that looks like one.
    assert await one(connection, "SELECT count(DISTINCT side) FROM trading_demo.positions") == 2
    assert (
        40
        < 100
        * await one(
            connection, "SELECT avg((pnl > 0)::int) FROM trading_demo.trades WHERE pnl IS NOT NULL"
        )
        < 75
    )


async def test_the_demo_runs_until_it_is_stopped(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TICK_S", 0.001)
    monkeypatch.setattr(demo, "FORGET_EVERY_S", 50)
    day = await demo.create(connection, 1)
    await connection.execute(AGE_SOME)
    stop, ticks = asyncio.Event(), list[Tick]()

    def count(tick: Tick) -> None:
        ticks.append(tick)
        if len(ticks) == 100:
            stop.set()

    await asyncio.wait_for(demo.move(connection, day.market, stop, count), 30)

    opened = sum(len(tick.opened) for tick in ticks)
    closed = sum(len(tick.closed) for tick in ticks)
    assert len(ticks) == 100
    assert opened > 5
    assert closed > 5
    [(positions, open_now)] = await rows(connection, POSITIONS)
    assert positions == day.positions + opened
    assert open_now == 2 * day.positions - day.trades + opened - closed
    assert await one(connection, "SELECT count(*) FROM trading_demo.trades") == (
        day.trades + opened + closed - 9
    )


async def test_a_schema_that_the_demo_did_not_create_is_never_dropped(
    connection: Connection,
) -> None:
    await connection.execute(FOREIGN)

    for attempt in (demo.create(connection, 1), demo.drop(connection)):
        with pytest.raises(ConflictError, match="was not created by vigia demo"):
            await attempt

    assert await one(connection, "SELECT count(*) FROM trading_demo.mine") == 1


async def test_the_demo_can_be_dropped_and_dropping_it_twice_is_harmless(
    connection: Connection,
) -> None:
    await demo.create(connection, 1)

    await demo.drop(connection)
    await demo.drop(connection)

    assert await one(connection, "SELECT to_regnamespace('trading_demo') IS NULL")


def test_a_market_never_loses_an_open_position() -> None:
    market, held = Market(7), dict[int, str]()
    for _ in range(20_000):
        tick = market.tick()
        held |= {position.id: position.symbol for position in tick.opened}
        for position in tick.closed:
            assert held.pop(position.id) == position.symbol
            assert position.closed_s == market.second >= position.opened_s
    assert 30 < len(held) < 90


async def awaited(put: list[Sample], count: int) -> list[Sample]:
    """The samples of the last turn, once there were so many turns."""
    async with asyncio.timeout(30):
        while sum(sample.series.metric == "component_up" for sample in put) < count:
            await asyncio.sleep(0.05)
    times = [sample.time for sample in put]
    return [sample for sample in put if sample.time == max(times)]


async def test_trading_shows_the_demo_while_it_exists_and_says_that_it_is_simulated(
    engine: Engine, connection: Connection
) -> None:
    put, slots = list[Sample](), SlotStats(name="demo")
    service = asyncio.ensure_future(collect_demo_every(lambda: 1.0, engine.dsn, put.extend, slots))
    try:
        async with asyncio.timeout(30):
            while slots.runs < 2:
                await asyncio.sleep(0.05)
        before = list(put)
        await demo.create(connection, 1)
        shown = await awaited(put, 1)
        await demo.drop(connection)
        runs = slots.runs + 1
        async with asyncio.timeout(30):
            while slots.runs < runs + 1:
                await asyncio.sleep(0.05)
        put.clear()
        async with asyncio.timeout(30):
            while slots.runs < runs + 3:
                await asyncio.sleep(0.05)
    finally:
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)

    values = {sample.series.metric: sample.value for sample in shown}
    assert before == []
    assert put == []
    assert values["component_up"] == 1
    assert values["trading_simulated"] == 1
    assert values["trading_positions_active"] > 10
    assert values["trading_trades_24h"] > 500
    assert {sample.reason for sample in shown if sample.series.metric == "component_up"} == {
        DEMO_REASON
    }
    assert {sample.series.component for sample in shown} == {"trading"}
