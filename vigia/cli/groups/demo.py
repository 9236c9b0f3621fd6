"""`vigia demo`: a simulated trading platform, to try Vigia without any other system."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import psycopg

from collectors.sql_files.connection import check_address
from collectors.trading import demo
from collectors.trading.demo import Connection
from db.engine import open_engine
from model.errors import UnavailableError
from runtime.settings import Settings
from vigia.cli import terminal

CONNECT_TIMEOUT_S = 10


@click.command("demo")
@click.option("--url", help="PostgreSQL address for the demo (default: Vigia's own database).")
@click.option("--seed", default=1, show_default=True, help="Equal seeds create equal days.")
@click.option("--once", is_flag=True, help="Create one day of trades, and exit.")
@click.option("--drop", is_flag=True, help="Remove the demo.")
def demo_command(*, url: str | None, seed: int, once: bool, drop: bool) -> None:
    """Simulate a trading platform, clearly labelled as simulated, until Ctrl-C."""
    settings = terminal.settings()

    async def play() -> None:
        async with _database(settings, url) as (connection, is_served):
            if drop:
                await demo.drop(connection)
                terminal.echo(f"The schema {demo.SCHEMA} is removed.")
                return
            terminal.echo("Creating a day of simulated trades …")
            day = await demo.create(connection, seed)
            terminal.echo(
                f"The schema {demo.SCHEMA} contains {day.positions} positions and {day.trades} "
                "trades, all simulated.\nRemove it with: vigia demo --drop"
            )
            terminal.echo(_advice(settings, url, is_served=is_served))
            if not once and is_served:
                await _move(connection, day)

    terminal.run(play)


async def _move(connection: Connection, day: demo.Day) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    terminal.echo("The simulation continues until Ctrl-C.")
    await demo.move(connection, day.market, stop)


def _advice(settings: Settings, url: str | None, *, is_served: bool) -> str:
    """Return a text that explains how to see the demo."""
    if url is not None:
        return (
            "To see it, start Vigia with this address as VIGIA_TRADING_DATABASE_URL, followed by "
            f"?options=-csearch_path%3D{demo.SCHEMA}"
        )
    if settings.trading_database_url is not None:
        return "Vigia does not show it, because VIGIA_TRADING_DATABASE_URL is set; unset it."
    if not is_served:
        return "Vigia is not running: start it with `vigia serve`, then run this command again."
    return "Vigia shows it as the component trading, from its next slot on."


@asynccontextmanager
async def _database(settings: Settings, url: str | None) -> AsyncIterator[tuple[Connection, bool]]:
    """Yield a connection, and whether other processes can reach the database.

    An embedded engine that this command had to start is private. The service cannot start while it
    runs.
    """
    if url is not None:
        async with await _connect(url) as connection:
            yield connection, True
        return
    async with (
        open_engine(settings, share=True) as engine,
        await _connect(engine.dsn) as connection,
    ):
        yield connection, engine.child is None


async def _connect(address: str) -> Connection:
    check_address(address)
    try:
        return await Connection.connect(
            address, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_TIMEOUT_S
        )
    except psycopg.Error as error:
        raise UnavailableError(" ".join(str(error).split())) from None
