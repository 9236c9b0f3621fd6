"""`vigia sql`: a read-only SQL console for the views of analysts, on both engines."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import click

from db.engine import open_engine
from runtime.version import __version__
from vigia.cli import terminal
from vigia.cli.sql import output
from vigia.cli.sql.session import SqlSession

TIMEOUT_S = 30.0
HISTORY_LINES = 1000
HISTORY_FILE = ".vigia_sql_history"


@click.command("sql")
@click.argument("statement", required=False)
@terminal.json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=TIMEOUT_S,
    show_default=True,
    help="Time limit of a statement in seconds.",
)
def sql_command(statement: str | None, *, as_json: bool, as_csv: bool, timeout_s: float) -> None:
    """Run read-only SQL: STATEMENT, or statements from standard input or a prompt."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other; use one of them")
    if statement is not None and not statement.strip():
        raise click.UsageError(
            "the statement is empty; write one in quotes, or leave it out to get a prompt"
        )
    write = output.write_json if as_json else output.write_csv if as_csv else output.write_table
    settings = terminal.settings()
    failures = 0

    async def talk() -> None:
        nonlocal failures
        async with open_engine(settings, share=True) as engine:
            session = SqlSession(engine, write, timeout_s)
            try:
                await session.connect()
                if statement is None and sys.stdin.isatty():
                    await _prompt(session, "embedded" if engine.embedded else "native")
                else:
                    await session.take_all(sys.stdin if statement is None else [statement])
                    failures = session.failures
            except BrokenPipeError:
                # The reader has closed the pipe. Without this, the flush at exit would fail too.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            finally:
                await session.close()

    terminal.run(talk)
    sys.exit(terminal.EXIT_FAILURE if failures else 0)


async def _prompt(session: SqlSession, engine: str) -> None:
    """Run statements typed at a prompt, until the end of the input."""
    terminal.echo(f"Vigia {__version__}, {engine} engine. \\d lists views, \\q quits.")
    editor = _editor()
    # Ctrl-C discards the typed text or cancels the running statement. It does not end the console.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while True:
        try:
            line = input("vigia-> " if session.unfinished else "vigia=> ")  # noqa: ASYNC250 (alone)
        except KeyboardInterrupt:
            session.unfinished = ""
            terminal.echo()
            continue
        except EOFError:
            terminal.echo()
            break
        if session.is_end(line):
            break
        await _interruptible(session, f"{line}\n")
    if editor is not None:
        with suppress(OSError):
            editor.write_history_file(_history_file())


async def _interruptible(session: SqlSession, line: str) -> None:
    task = asyncio.create_task(session.take(line), name="statement")
    # Not loop.add_signal_handler: it would also deliver earlier Ctrl-C presses at the prompt.
    before = signal.signal(signal.SIGINT, lambda *_: task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        terminal.echo("Cancelled.", err=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _editor() -> ModuleType | None:
    """Return the line editor with its history; None if the system has none."""
    try:
        import readline  # noqa: PLC0415 (where it is missing, lines are typed without)
    except ImportError:
        return None
    readline.set_history_length(HISTORY_LINES)
    with suppress(OSError):
        readline.read_history_file(_history_file())
    return readline


def _history_file() -> Path:
    return Path.home() / HISTORY_FILE
