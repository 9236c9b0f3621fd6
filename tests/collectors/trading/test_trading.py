"""The trading figures equal a recomputation from the raw rows, on a real database."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.collector import CollectorRun
from collectors.sql_files.collector import SqlFiles
from collectors.sql_files.connection import ReadOnly
from collectors.sql_files.folder import sql_paths
from collectors.sql_files.measurement import read_file
from collectors.trading.trading import SHIPPED, trading
from db.engine import Engine
from db.queries import Connection, Pool
from model.series import Category, Sample
from runtime.settings import Secret
from tests.collectors.sql_files.test_measurement import series_of

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENT = Path(__file__).parents[3] / "docs" / "how-to" / "monitor-a-trading-platform.md"
SCHEMA = "trading_test"
DAY_US = 24 * 3600 * 1_000_000
USERS, SYMBOLS = range(1, 6), ("BTC/USD", "ETH/USD", "SOL/USD")


class Trade(NamedTuple):
    """A row of trades; `age_us` is how long before the transaction's now it was executed."""

    user_id: int
    symbol: str
    quantity: Decimal
    price: Decimal
    pnl: Decimal | None
    age_us: int


class Position(NamedTuple):
    user_id: int
    is_open: bool


def documented_schema() -> str:
    match = re.search(r"<!-- the schema -->\n```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture(scope="module")
async def platform(migrated_pool: Pool) -> AsyncIterator[Pool]:
    """The schema as documented, with a few users."""
    script = f"CREATE SCHEMA {SCHEMA}; SET LOCAL search_path = {SCHEMA}; {documented_schema()}"
    async with migrated_pool.connection() as connection:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        async with connection.transaction():
            await connection.execute(script)
            await connection.execute(
                "INSERT INTO users (id, name) SELECT id, 'u' || id FROM generate_series(1, 9) AS id"
            )
    yield migrated_pool
    async with migrated_pool.connection() as connection:
        await connection.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.fixture
async def collector(engine: Engine, platform: Pool) -> AsyncIterator[SqlFiles]:
    """A collector of an empty platform."""
    async with platform.connection() as connection:
        await connection.execute(f"TRUNCATE {SCHEMA}.trades, {SCHEMA}.positions")
    made = SqlFiles(
        "trading",
        Category.TRADING,
        ReadOnly(lambda: engine.dsn, SCHEMA),
        lambda: sql_paths(SHIPPED),
        list[Sample]().extend,
    )
    yield made
    await made.close()


INSERT_TRADE = f"""
    INSERT INTO {SCHEMA}.trades (user_id, symbol, side, quantity, price, pnl, executed_at)
    VALUES (%s, %s, 'buy', %s, %s, %s, now() - %s * interval '1 microsecond')
"""
INSERT_POSITION = f"""
    INSERT INTO {SCHEMA}.positions
    VALUES (%s, %s, 'BTC/USD', 'long', 1, 1, now() - interval '2 days',
            CASE WHEN NOT %s THEN now() - interval '1 day' END)
"""
INSERT_MANY = f"""
    INSERT INTO {SCHEMA}.trades (user_id, symbol, side, quantity, price, pnl, executed_at)
    SELECT 1 + n % 9, 'S' || n % 30, 'buy', 1, 1, n % 3 - 1, now() - n * interval '1 s'
    FROM generate_series(1, 20000) AS n
"""


async def insert(
    connection: Connection, trades: Sequence[Trade], positions: Sequence[Position] = ()
) -> None:
    """Insert rows as any client would, by the schema's name."""
    for trade in trades:
        await connection.execute(INSERT_TRADE, trade)
    for number, position in enumerate(positions):
        await connection.execute(INSERT_POSITION, (number, *position))


def recomputed(trades: Sequence[Trade], positions: Sequence[Position]) -> dict[str, float]:
    """Compute the metrics from the rows, following the documentation only."""
    recent = [trade for trade in trades if 0 <= trade.age_us < DAY_US]
    realised = [trade.pnl for trade in recent if trade.pnl is not None]
    holders = {position.user_id for position in positions if position.is_open}
    values = {
        "trading_positions_active": sum(position.is_open for position in positions),
        "trading_users_active": len(holders | {trade.user_id for trade in recent}),
        "trading_trades_24h": len(recent),
        "trading_volume_24h": sum(trade.quantity * trade.price for trade in recent),
        "trading_pnl_24h": sum(realised),
    }
    if realised:
        won = sum(pnl > 0 for pnl in realised)
        values["trading_success_percent"] = Decimal(100 * won) / len(realised)
    by_symbol = defaultdict(list)
    for trade in recent:
        by_symbol[trade.symbol].append(trade)
    for symbol, of_it in by_symbol.items():
        volume = sum(trade.quantity * trade.price for trade in of_it)
        values[f"trading_symbol_volume_24h {symbol}"] = volume
        values[f"trading_symbol_pnl_24h {symbol}"] = sum(trade.pnl or 0 for trade in of_it)
    return {name: float(value) for name, value in values.items()}


NEAR_THE_EDGES_US = st.one_of(
    st.sampled_from([0, 1, -1, DAY_US - 1, DAY_US, DAY_US + 1]),
    st.integers(-3_600_000_000, 2 * DAY_US),
)
MONEY = st.decimals(-9999, 9999, places=2)
TRADES = st.builds(
    Trade,
    st.sampled_from(USERS),
    st.sampled_from(SYMBOLS),
    st.decimals("0.000001", 1000, places=6),
    st.decimals("0.01", 70000, places=2),
    st.one_of(st.none(), st.just(Decimal(0)), MONEY),
    NEAR_THE_EDGES_US,
)
POSITIONS = st.builds(Position, st.sampled_from(USERS), st.booleans())


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(trades=st.lists(TRADES, max_size=25), positions=st.lists(POSITIONS, max_size=8))
async def test_every_value_equals_a_recomputation_to_the_microsecond(
    platform: Pool, trades: list[Trade], positions: list[Position]
) -> None:
    """One transaction has one now(), for the rows and for the queries."""
    found = {}
    async with (
        platform.connection() as connection,
        connection.transaction(force_rollback=True),
    ):
        await insert(connection, trades, positions)
        await connection.execute(f"SET LOCAL search_path = {SCHEMA}")
        for path in sql_paths(SHIPPED):
            for sample in await read_file(path).read(connection, SLOT, "trading", series_of):
                symbols = (symbol for _, symbol in sample.series.labels)
                found[" ".join([sample.series.metric, *symbols])] = sample.value

    assert found == pytest.approx(recomputed(trades, positions), rel=1e-12)


async def take(collector: SqlFiles) -> dict[str, float]:
    put: list[Sample] = []
    collector.put = put.extend
    await CollectorRun(collector, put.extend).run(SLOT)
    assert put[-1].reason == ""
    assert {sample.series.component for sample in put} == {"trading"}
    assert {sample.series.category for sample in put} == {Category.TRADING}
    return {sample.series.metric: sample.value for sample in put if not sample.series.labels}


async def test_a_platform_without_trades_has_no_success_rate(collector: SqlFiles) -> None:
    assert await take(collector) == {
        "trading_positions_active": 0,
        "trading_users_active": 0,
        "trading_trades_24h": 0,
        "trading_volume_24h": 0,
        "trading_pnl_24h": 0,
        "component_up": 1,
    }


async def test_a_trade_of_another_connection_is_in_the_next_collection(
    engine: Engine, collector: SqlFiles
) -> None:
    day = [
        Trade(1, "BTC/USD", Decimal("0.5"), Decimal(60000), None, 20 * 3_600_000_000),
        Trade(1, "BTC/USD", Decimal("0.5"), Decimal(61000), Decimal(500), 10 * 3_600_000_000),
        Trade(2, "ETH/USD", Decimal(3), Decimal(3000), Decimal("-120.55"), 3_600_000_000),
        Trade(3, "SOL/USD", Decimal(9), Decimal(150), Decimal(77), 25 * 3_600_000_000),
    ]
    positions = [Position(4, is_open=True), Position(5, is_open=False)]
    new = Trade(5, "SOL/USD", Decimal(10), Decimal(150), Decimal("33.25"), 0)
    async with await psycopg.AsyncConnection.connect(
        engine.dsn, autocommit=True, prepare_threshold=None
    ) as other:
        await insert(other, day, positions)
        before = await take(collector)
        await insert(other, [new])
        after = await take(collector)

    assert before["trading_pnl_24h"] == 379.45
    assert before["trading_success_percent"] == 50
    assert before["trading_users_active"] == 3
    expected = recomputed([*day, new], positions)
    assert after == pytest.approx(
        {"component_up": 1} | {name: v for name, v in expected.items() if " " not in name}
    )


async def test_files_in_the_users_folder_replace_the_built_in_ones(
    engine: Engine, tmp_path: Path
) -> None:
    put: list[Sample] = []
    collector = trading(Secret(engine.dsn), tmp_path, put.extend)
    run = CollectorRun(collector, put.extend)
    try:
        await run.run(SLOT)
        without = put[-1].reason
        (tmp_path / "own.sql").write_text("SELECT 3 AS trading_positions_active")
        put.clear()
        await run.run(SLOT)
    finally:
        await collector.close()

    assert 'relation "positions" does not exist' in without
    assert [(sample.series.metric, sample.value) for sample in put] == [
        ("trading_positions_active", 3),
        ("component_up", 1),
    ]


async def test_a_busy_platform_costs_milliseconds(migrated_pool: Pool, collector: SqlFiles) -> None:
    async with migrated_pool.connection() as connection:
        await connection.execute(INSERT_MANY)
    loop, put = asyncio.get_running_loop(), list[Sample]()
    collector.put = put.extend
    started = loop.time()
    await collector.collect(SLOT)

    # Measured with twice as many: 40 ms on a server, 83 ms on the embedded engine.
    assert loop.time() - started < 2
    assert len([s for s in put if s.series.metric == "trading_symbol_volume_24h"]) == 20
