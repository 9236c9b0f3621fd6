"""Common parts of all commands: settings, the database, output, and errors in one line."""

import sys
import time
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

import click
import uvloop

from model.errors import DomainError
from model.text import as_text, clean, clean_lines
from runtime import log
from runtime.settings import Settings, SettingsError, load

# `vigia agent` also runs without the database packages and without rich, so functions that need
# them import them themselves.
if TYPE_CHECKING:
    from rich.table import Table

    from db.queries import Connection

EXIT_FAILURE = 1
EXIT_USAGE = 2
COPY_CHARS = 1 << 16
KEY_WARNING = (
    "Every user of this machine can read it in the list of processes; prefer --key-file or the "
    "environment."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def settings() -> Settings:
    try:
        return load()
    except SettingsError as error:
        echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_USAGE)


@asynccontextmanager
async def database() -> "AsyncIterator[Connection]":
    """Connect to the database of the running service, or start it for this command alone."""
    import psycopg  # noqa: PLC0415

    from db.engine import open_engine  # noqa: PLC0415
    from db.migrate import migrate  # noqa: PLC0415
    from db.pool import SESSION  # noqa: PLC0415

    async with open_engine(settings(), share=True) as engine:
        connection: Connection = await psycopg.AsyncConnection.connect(
            engine.dsn, autocommit=True, prepare_threshold=None, options=SESSION
        )
        async with connection:
            await migrate(connection)
            yield connection


def run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command. Errors that a user can fix become one line; others keep their traceback.

    Standard output is only for the results of the command, so the log goes elsewhere.
    """
    log.configure()
    try:
        _run(command)
    finally:
        log.close()


def _run(command: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        try:
            uvloop.run(command())
        except BaseExceptionGroup as group:
            raise (_only_one(group) or group) from None
    except _database_errors() as error:
        echo(f"vigia: the database: {str(error).strip().splitlines()[0]}", err=True)
        sys.exit(EXIT_FAILURE)
    except UnicodeDecodeError as error:
        echo(
            f"vigia: an input file must be UTF-8; it has an invalid byte at {error.start}",
            err=True,
        )
        sys.exit(EXIT_FAILURE)
    except OSError as error:
        echo(f"vigia: {_words(error)}", err=True)
        sys.exit(EXIT_FAILURE)
    except (DomainError, SettingsError) as error:
        echo(f"vigia: {error}", err=True)
        sys.exit(EXIT_FAILURE)


def _database_errors() -> tuple[type[Exception], ...]:
    """Return the error class of the database driver, or nothing if it is not imported."""
    driver = sys.modules.get("psycopg")
    return () if driver is None else (driver.Error,)


def _only_one(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the only exception in nested groups; None if a group has several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        [error] = error.exceptions
    return error


def _words(error: OSError) -> str:
    if not error.filename or not error.strerror:
        return str(error)
    words = f"{error.filename}: {error.strerror}"
    if str(error.filename).startswith("/proc/"):
        words += "; the role collect needs /proc to measure this machine: mount it"
    return words


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, which may be untrusted, without characters that could affect the terminal."""
    click.echo(clean_lines(text), err=err, nl=nl)


def print_json(value: object) -> None:
    """Print JSON in one line, with characters escaped that could affect the terminal."""
    click.echo(as_text(value))


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table of texts, which may be untrusted: markup and control characters are inert."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(clean, row))
    print_rich(table)


def print_rich(table: "Table") -> None:
    """Print a table whose cells and title are already cleaned."""
    from rich.console import Console  # noqa: PLC0415

    Console(markup=False, highlight=False).print(table)


def copy(text: TextIO) -> None:
    """Print the contents of a file: unchanged to a program, cleaned to a terminal."""
    is_watched = sys.stdout.isatty()
    while chunk := text.read(COPY_CHARS):
        sys.stdout.write(clean_lines(chunk) if is_watched else chunk)
    sys.stdout.flush()


def binary_output() -> BinaryIO:
    """Return standard output for bytes; if it is a terminal, the output is cleaned."""
    return cast(BinaryIO, _Cleaned()) if sys.stdout.isatty() else sys.stdout.buffer


class _Cleaned:
    """Takes UTF-8 in any pieces, and prints it without characters that affect the terminal."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def write(self, piece: bytes) -> int:
        sys.stdout.write(clean_lines(self._decoder.decode(piece)))
        sys.stdout.flush()
        return len(piece)


@contextmanager
def progress(
    unit: str, total: float | None, *, shown: bool, after_s: float = 0
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on stderr, after `after_s` seconds.

    Yields a function to call with the amount of work just done.
    """
    from rich import console, progress  # noqa: PLC0415

    bar = progress.Progress(
        progress.BarColumn(),
        progress.TextColumn(f"{{task.completed:,.0f}} {unit}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console.Console(stderr=True),
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
