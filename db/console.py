"""Runs one SQL statement of a person, as vigia_reader and without lasting effects."""

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
    """A view or function that readers can use."""

    name: str
    kind: str
    comment: str


class Part(Struct, frozen=True):
    """A column of a view or of a function's result, or an argument of a function."""

    name: str | None
    kind: str
    type: str
    comment: str | None


async def ask(
    connection: Connection, statement: str, timeout_s: float, batch_rows: int
) -> AsyncGenerator[Cursor, None]:
    """Yield a cursor for each batch of the answer, at least one. The last batch may be empty.

    The statement runs alone, as vigia_reader, in a read-only transaction that is rolled back. It is
    declared as a cursor, which accepts only a query, and neither side ever holds more than one
    batch. Raises InvalidError for a statement that is not a query, and UnavailableError if the role
    vigia_reader is missing.
    """
    prefix = prefix_of(statement)
    async with connection.transaction(force_rollback=True):
        await _bound(connection, timeout_s)
        # With binary=True psycopg uses the extended protocol, which accepts only one statement.
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
    """Release the advisory locks of the session, which outlive a transaction."""
    await queries.run(connection, UNLOCK)


def prefix_of(statement: str) -> str:
    """Return the text to put before a statement. Error positions include its length.

    Raises InvalidError for a statement that does not only read.
    """
    word = first_word(statement)
    if word in BY_CURSOR:
        return DECLARE
    if word in AT_ONCE:
        return ""
    wanted = ", ".join(sorted(BY_CURSOR | AT_ONCE)).upper()
    raise InvalidError(
        f"{(word or statement.strip())[:40]}: only reading is allowed; begin with one of {wanted}"
    )


def first_word(statement: str) -> str:
    """Return the first word of a statement in small letters, or "" if it has only comments."""
    match = FIRST_WORD.match(statement)
    return match[1].lower() if match else ""


async def list_all(connection: Connection) -> list[Item]:
    """Return the documented views and functions."""
    return await queries.rows(connection, Item, LIST)


async def describe(connection: Connection, name: str) -> list[Part]:
    """Return the columns and arguments of a view or function, or none for an unknown name."""
    return await queries.rows(connection, Part, DESCRIBE, name=name)


async def _bound(connection: Connection, timeout_s: float) -> None:
    try:
        await queries.run(connection, BOUNDS, timeout_ms=round(1000 * timeout_s))
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue) as error:
        raise UnavailableError(
            f"{error.diag.message_primary}; an administrator must grant it, see "
            "docs/how-to/query-with-sql.md"
        ) from None
