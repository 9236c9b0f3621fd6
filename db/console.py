"""One statement of a person at a time: it sees what a reader sees, and leaves nothing behind."""

import re
from collections.abc import AsyncGenerator

import psycopg
from msgspec import Struct
from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from db import queries
from db.queries import Connection
from model.errors import InvalidError, UnavailableError

_QUERIES = queries.load(__file__)
BOUNDS = _QUERIES["bounds"]
UNLOCK = _QUERIES["unlock"]
LIST = _QUERIES["list"]
DESCRIBE = _QUERIES["describe"]

DECLARE = "DECLARE answer NO SCROLL CURSOR FOR "
FETCH = b"FETCH %d FROM answer"

FIRST_WORD = re.compile(r"(?:\s|\(|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*(\w+)", re.DOTALL)
BY_CURSOR = {"select", "with", "values", "table"}
AT_ONCE = {"explain", "show"}

Cursor = AsyncCursor[TupleRow]


class Item(Struct, frozen=True):
    """A view or function that readers have."""

    name: str
    kind: str
    comment: str


class Part(Struct, frozen=True):
    """A column of a view or of what a function answers, or one of its arguments."""

    name: str | None
    kind: str
    type: str
    comment: str | None


async def ask(
    connection: Connection, statement: str, timeout_s: float, batch_rows: int
) -> AsyncGenerator[Cursor, None]:
    """Yield a cursor with each batch of the answer, at least with one; the last may be empty.

    The statement runs alone, as vigia_reader, in a read-only transaction that is rolled back. A
    cursor takes nothing but a query, and neither side ever holds more than a batch. Raises
    InvalidError for what is no query, UnavailableError where there is no reader.
    """
    prefix = prefix_of(statement)
    async with connection.transaction(force_rollback=True):
        await _bound(connection, timeout_s)
        # The binary format makes psycopg use the protocol that takes one statement only.
        cursor = await connection.execute((prefix + statement).encode(), binary=True)
        if not prefix:
            yield cursor
            return
        while True:
            cursor = await connection.execute(FETCH % batch_rows)
            yield cursor
            if cursor.rowcount < batch_rows:
                return


async def tidy(connection: Connection) -> None:
    """Give up what outlives a transaction."""
    await queries.run(connection, UNLOCK)


def prefix_of(statement: str) -> str:
    """Return what is put before a statement; the positions of its errors count from there."""
    word = first_word(statement)
    if word in BY_CURSOR:
        return DECLARE
    if word in AT_ONCE:
        return ""
    wanted = ", ".join(sorted(BY_CURSOR | AT_ONCE)).upper()
    raise InvalidError(
        f"{(word or statement.strip())[:40]}: only reading is possible here: {wanted}"
    )


def first_word(statement: str) -> str:
    """Return the word that says what a statement does; none where there are only comments."""
    match = FIRST_WORD.match(statement)
    return match[1].lower() if match else ""


async def list_all(connection: Connection) -> list[Item]:
    """Return the documented views and functions."""
    return await queries.rows(connection, Item, LIST)


async def describe(connection: Connection, name: str) -> list[Part]:
    """Return the columns and arguments of one; none where there is nothing of that name."""
    return await queries.rows(connection, Part, DESCRIBE, name=name)


async def _bound(connection: Connection, timeout_s: float) -> None:
    try:
        await queries.run(connection, BOUNDS, timeout_ms=round(1000 * timeout_s))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue) as error:
        raise UnavailableError(
            f"{error.diag.message_primary}; an administrator has to grant it, as "
            "docs/how-to/query-with-sql.md shows"
        ) from None
