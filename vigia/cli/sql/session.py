"""Runs SQL statements one by one. An error is printed, and the next statement runs."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TextIO, cast

import psycopg
from rich.cells import cell_len

from db import console
from db.engine import Engine
from db.migrate import migrate
from db.queries import Connection
from model.errors import DomainError, InvalidError
from vigia.cli import terminal
from vigia.cli.sql import output, statements

GRACE_S = 3.0
"""How much longer than the server's own timeout we wait, so that its error arrives first."""
CONNECT_TIMEOUT_S = 15.0
"""Long enough for the embedded engine to restart."""
CONNECT_POLL_S = 0.2
SPOOL_BYTES = 1 << 20

DESCRIBE = "\\d"
END = "\\q"
LOST = (
    "the connection was lost: the embedded engine restarts if a statement takes 30 s; "
    "use a server for longer ones"
)

Write = Callable[[output.Batches, TextIO], Awaitable[None]]


class SqlSession:
    """Takes text line by line, runs its statements and commands, and prints the results."""

    def __init__(self, engine: Engine, write: Write, timeout_s: float) -> None:
        self._engine = engine
        self._write = write
        self._timeout_s = timeout_s
        self._connection: Connection | None = None
        self.unfinished = ""
        """The text of a statement whose end was not read yet."""
        self.failures = 0

    async def connect(self) -> Connection:
        """Return the connection; open a new one if it was lost."""
        if self._connection is None:
            self._connection = await _connect(self._engine)
            await migrate(self._connection)
        elif self._connection.closed:
            self._connection = await _connect(self._engine)
        await self._connection.set_read_only(True)
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def take_all(self, lines: Iterable[str]) -> None:
        """Run a whole text. Its last statement may lack the semicolon."""
        for line in lines:
            if self.is_end(line):
                break
            await self.take(line)
        await self._run(self.unfinished)

    async def take(self, line: str) -> None:
        """Run a line: a command, or the statements that end in it."""
        if not self.unfinished and line.startswith("\\"):
            await self._try(self._obey(line.split()), "")
            return
        found, rest = statements.split(self.unfinished + line)
        self.unfinished = rest.lstrip()
        for statement in found:
            await self._run(statement)

    def is_end(self, line: str) -> bool:
        return not self.unfinished and line.strip() == END

    async def _run(self, statement: str) -> None:
        if not statements.is_blank(statement):
            await self._try(self._answer(statement.strip()), statement.strip())

    async def _try(self, work: Awaitable[None], statement: str) -> None:
        try:
            await work
        except psycopg.OperationalError as error:
            is_lost = self._connection is not None and self._connection.closed
            self._fail(LOST if is_lost and self._engine.embedded else error_text(error, statement))
        except psycopg.Error as error:
            self._fail(error_text(error, statement))
        except TimeoutError:
            self._fail(f"no complete result within {self._timeout_s:g} s; raise --timeout")
        except DomainError as error:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        self.failures += 1
        terminal.echo(reason if reason.startswith("ERROR:") else f"ERROR:  {reason}", err=True)

    async def _answer(self, statement: str) -> None:
        """Run a statement and print its result after it is complete.

        Buffering keeps a slow reader of standard output from holding a database session.
        """
        connection = await self.connect()
        with tempfile.SpooledTemporaryFile(
            SPOOL_BYTES, mode="w+", encoding="utf-8", newline=""
        ) as spool:
            out = cast(TextIO, spool)
            async with (
                asyncio.timeout(self._timeout_s + GRACE_S),
                aclosing(
                    console.ask(connection, statement, self._timeout_s, output.BATCH_ROWS)
                ) as batches,
            ):
                await self._write(batches, out)
            await console.tidy(connection)
            spool.seek(0)
            terminal.copy(out)

    async def _obey(self, words: list[str]) -> None:
        command, *names = words
        if command != DESCRIBE or len(names) > 1:
            raise InvalidError(
                f"unknown command {' '.join(words)}; use {DESCRIBE}, {DESCRIBE} NAME or {END}"
            )
        connection = await self.connect()
        if not names:
            items = await console.list_all(connection)
            _print(["name", "kind", "comment"], [[i.name, i.kind, i.comment] for i in items])
            return
        parts = await console.describe(connection, names[0])
        if not parts:
            raise InvalidError(
                f"there is no view or function named {names[0]}; {DESCRIBE} lists them"
            )
        _print(
            ["name", "kind", "type", "comment"],
            [[p.name or "", p.kind, p.type, p.comment or ""] for p in parts],
        )


def error_text(error: psycopg.Error, statement: str) -> str:
    """Return the database's error and its position in the statement, in the style of psql."""
    diagnostic = error.diag
    if diagnostic.message_primary is None:
        return " ".join(str(error).split())
    lines = [f"{diagnostic.severity}:  {diagnostic.message_primary}"]
    if diagnostic.statement_position and statement:
        place = int(diagnostic.statement_position) - 1 - len(console.prefix_of(statement))
        lines += _point(statement, place)
    if diagnostic.message_detail:
        lines.append(f"DETAIL:  {diagnostic.message_detail}")
    if diagnostic.message_hint:
        lines.append(f"HINT:  {diagnostic.message_hint}")
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        lines.append(f"HINT:  {DESCRIBE} lists what can be read.")
    return "\n".join(lines)


def _point(statement: str, place: int) -> list[str]:
    """Return the line of a position in a statement, and a line with a caret under it."""
    before = statement[: max(0, place)]
    number = before.count("\n") + 1
    line = statement.split("\n")[number - 1].replace("\t", " ")
    head = f"LINE {number}: "
    column = cell_len(before.rpartition("\n")[2].replace("\t", " "))
    return [head + line, " " * (len(head) + column) + "^"]


async def _connect(engine: Engine) -> Connection:
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            connection: Connection = await psycopg.AsyncConnection.connect(
                engine.dsn, autocommit=True, prepare_threshold=None, application_name="vigia sql"
            )
        except psycopg.OperationalError:
            if not engine.embedded or time.monotonic() > deadline:
                raise
            await asyncio.sleep(CONNECT_POLL_S)
        else:
            return connection


def _print(columns: list[str], rows: list[list[str]]) -> None:
    for line in output.table(columns, rows, [False] * len(columns)):
        terminal.echo(line)
