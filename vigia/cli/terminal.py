"""What every command shares: settings, the database, one line for what a user can mend."""

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

# `vigia agent` runs where neither the database's packages nor rich are installed: what needs them
# imports them itself.
if TYPE_CHECKING:
    from rich.table import Table

    from db.queries import Connection

EXIT_FAILURE = 1
EXIT_USAGE = 2
COPY_CHARS = 1 << 16
KEY_WARNING = (
    "Everyone on this machine can read it in the list of processes: prefer --key-file or the "
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
    """The database of the running service, or one started for this command alone."""
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
        try:
            uvloop.run(command())
        except BaseExceptionGroup as group:
            raise (_only_one(group) or group) from None
    except _database_errors() as error:
        echo(f"vigia: the database: {str(error).strip().splitlines()[0]}", err=True)
        sys.exit(EXIT_FAILURE)
    except UnicodeDecodeError as error:
        echo(
            f"vigia: a file that is read must be UTF-8: {error.reason} at byte {error.start}",
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
    """Return what the database's driver raises; nothing as long as no command has imported it."""
    driver = sys.modules.get("psycopg")
    return () if driver is None else (driver.Error,)


def _only_one(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the exception of a group of one, however deep: what a user can mend is one line."""
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
        words += "; the role collect measures this machine by /proc: mount it"
    return words


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print a text, which may hold words of others: nothing in it acts on a terminal."""
    click.echo(clean_lines(text), err=err, nl=nl)


def print_json(value: object) -> None:
    """Print JSON in a line; what would act on a terminal is escaped in it."""
    click.echo(as_text(value))


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print what may be others' words: no markup and no control character in it acts."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(clean, row))
    print_rich(table)


def print_rich(table: "Table") -> None:
    """Print a table whose cells and title are clean."""
    from rich.console import Console  # noqa: PLC0415

    Console(markup=False, highlight=False).print(table)


def copy(text: TextIO) -> None:
    """Print what a file holds: as it is to a program, and cleaned to a terminal."""
    is_watched = sys.stdout.isatty()
    while chunk := text.read(COPY_CHARS):
        sys.stdout.write(clean_lines(chunk) if is_watched else chunk)
    sys.stdout.flush()


def binary_output() -> BinaryIO:
    """Return where bytes are written: standard output, behind a filter if that is a terminal."""
    return cast(BinaryIO, _Cleaned()) if sys.stdout.isatty() else sys.stdout.buffer


class _Cleaned:
    """Takes UTF-8 in any pieces, and prints it without what acts on a terminal."""

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
    """Show on stderr how far a long work is; yields what is called with how much more is done.

    Not before it has gone on for `after_s`.
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
