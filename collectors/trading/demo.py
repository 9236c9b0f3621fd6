"""A simulated trading platform in its own schema, to try Vigia with live data."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from collectors.sql_files.measurement import SQL_DIR
from collectors.trading.market import Market, Position, Tick
from model.errors import ConflictError
from model.times import DAY_S

PIECE_S = 7200
TICK_S = 1.0
FORGET_EVERY_S = 600
SCHEMA = "trading_demo"

Connection = AsyncConnection[Any]


def _sql(name: str) -> bytes:
    return (SQL_DIR / "demo" / f"{name}.sql").read_bytes()


CREATE = _sql("create")
DROP = _sql("drop")
FOREIGN = _sql("foreign")
FORGET = _sql("forget")
POSITIONS = _sql("positions")
TRADES = _sql("trades")


class Day(Struct, frozen=True):
    """The number of rows in a new demo, and the market that continues from there."""

    positions: int
    trades: int
    market: Market


async def create(connection: Connection, seed: int) -> Day:
    """Create the schema with the data of the last 24 hours, and replace an earlier demo.

    The same seed gives the same data. Raises ConflictError if a schema of this name exists that no
    demo created.
    """
    market = Market(seed)
    positions = trades = 0
    async with connection.transaction():
        await drop(connection)
        await connection.execute(CREATE)
    # In pieces, because the embedded engine runs nothing else during a transaction.
    while market.second < DAY_S:
        ticks = [market.tick() for _ in range(PIECE_S)]
        await _write(connection, ticks, DAY_S)
        opened = sum(len(tick.opened) for tick in ticks)
        positions += opened
        trades += opened + sum(len(tick.closed) for tick in ticks)
    return Day(positions, trades, market)


async def drop(connection: Connection) -> None:
    """Remove the schema, if it exists. Raises ConflictError for one that no demo created."""
    cursor = await connection.execute(FOREIGN)
    row = await cursor.fetchone()
    if row is not None and row[0]:
        raise ConflictError(
            f"the schema {SCHEMA} was not created by vigia demo; rename or drop it first"
        )
    await connection.execute(DROP)


async def move(
    connection: Connection,
    market: Market,
    stop: asyncio.Event,
    on_tick: Callable[[Tick], object] = lambda _: None,
) -> None:
    """Advance the market by one second each second, until `stop` is set."""
    while not stop.is_set():
        tick = market.tick()
        await _write(connection, [tick], market.second)
        on_tick(tick)
        if market.second % FORGET_EVERY_S == 0:
            await connection.execute(FORGET)
        await _wait(stop)


async def _write(connection: Connection, ticks: Sequence[Tick], now_s: int) -> None:
    """Store the positions and trades of some seconds. `now_s` is the second that is now."""
    opened = [position for tick in ticks for position in tick.opened]
    closed = [position for tick in ticks for position in tick.closed]
    positions = {position.id: _row(position, now_s) for position in (*opened, *closed)}
    trades = [_entry(position, now_s) for position in opened]
    trades += [_exit(position, now_s) for position in closed]
    if trades:
        async with connection.transaction():
            await connection.execute(POSITIONS, _columns(list(positions.values())))
            await connection.execute(TRADES, _columns(trades))


def _row(position: Position, now_s: int) -> dict[str, Any]:
    return {
        "id": position.id,
        "user_id": position.user_id,
        "symbol": position.symbol,
        "side": "long" if position.is_long else "short",
        "quantity": position.quantity,
        "entry_price": position.entry_price,
        "opened_age_s": now_s - position.opened_s,
        "closed_age_s": None if position.closed_s is None else now_s - position.closed_s,
    }


def _entry(position: Position, now_s: int) -> dict[str, Any]:
    return {
        "user_id": position.user_id,
        "symbol": position.symbol,
        "side": "buy" if position.is_long else "sell",
        "quantity": position.quantity,
        "price": position.entry_price,
        "pnl": None,
        "age_s": now_s - position.opened_s,
    }


def _exit(position: Position, now_s: int) -> dict[str, Any]:
    return _entry(position, now_s) | {
        "side": "sell" if position.is_long else "buy",
        "price": position.exit_price,
        "pnl": position.pnl_at(position.exit_price),
        "age_s": now_s - (position.closed_s or now_s),
    }


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


async def _wait(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(TICK_S):
            await stop.wait()
