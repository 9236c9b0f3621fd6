"""What every command shares: settings, the database, one line for what a user can mend."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import click
import psycopg
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from db.engine import EngineError, open_engine
from db.migrate import MigrationError, migrate
from db.pool import SESSION
from db.queries import Connection
from vigia import log
from vigia.model import DomainError
from vigia.settings import Settings, SettingsError, load

EXIT_FAILURE = 1
EXIT_USAGE = 2

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        click.echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_USAGE)


@asynccontextmanager
async def database() -> AsyncIterator[Connection]:
    """The database of the running service, or one started for this command alone."""
    async with open_engine(settings(), share=True) as engine:
        connection: Connection = await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None, options=SESSION
        )
        async with connection:
            await migrate(connection)
            yield connection


def run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; what a user can mend is one line, and everything else a traceback.

    Standard output is for what the command prints; the log goes elsewhere.
    """
    log.configure()
    try:
        _run(command)
    finally:
        log.close()


def _run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        uvloop.run(command())
    except psycopg.Error as error:
        click.echo(f"vigia: the database: {str(error).strip().splitlines()[0]}", err=True)
        sys.exit(EXIT_FAILURE)
    except UnicodeDecodeError as error:
        click.echo(
            f"vigia: a file that is read must be UTF-8: {error.reason} at byte {error.start}",
            err=True,
        )
        sys.exit(EXIT_FAILURE)
    except (DomainError, EngineError, MigrationError, SettingsError, OSError) as error:
        click.echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_FAILURE)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print what may be others' words: no markup and no control character in it acts."""
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*("".join(c if c.isprintable() else " " for c in cell) for cell in row))
    Console(markup=False, highlight=False).print(table)


@contextmanager
def progress(
    unit: str, total: float | None, *, shown: bool, after_s: float = 0
) -> Iterator[Callable[[float], None]]:
    """Show on stderr how far a long work is; yields what is called with how much more is done.

    Not before it has gone on for `after_s`.
    """
    bar = Progress(
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
    task, begun_s = bar.add_task(unit, total=total), time.monotonic()

    def advance(more: float) -> None:
        bar.advance(task, more)
        if time.monotonic() - begun_s >= after_s:
            bar.start()

    try:
        advance(0)
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
