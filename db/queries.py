"""Named queries: SQL lives in `queries/*.sql`, one file per subject, and is called by name."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]
Query = bytes

Row = TypeVar("Row")

HEADER = re.compile(rb"^-- name: (\w+)\n", re.MULTILINE)

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)


@cache
def load(subject: str) -> Mapping[str, Query]:
    """Return the queries of a subject by name. Raises ValueError for stray text or a double name.

    A caller binds each query to a constant of its module, so that a wrong name fails at the import.
    """
    text = files("db").joinpath("queries", f"{subject}.sql").read_bytes()
    stray, *parts = HEADER.split(text)
    names = [part.decode() for part in parts[::2]]
    if stray.strip() or len(set(names)) != len(names):
        raise ValueError(f"queries/{subject}.sql: text before the first name, or a name twice")
    return dict(zip(names, parts[1::2], strict=True))


async def rows(
    connection: Connection, kind: type[Row], query: Query, **parameters: Any
) -> list[Row]:
    """Run a query and return its rows as `kind`, a Struct whose fields are the columns."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return msgspec.convert(await cursor.fetchall(), list[kind])  # type: ignore[valid-type]


async def first(
    connection: Connection, kind: type[Row], query: Query, **parameters: Any
) -> Row | None:
    """Run a query and return its first row, or None."""
    found = await rows(connection, kind, query, **parameters)
    return found[0] if found else None


async def value(connection: Connection, query: Query, **parameters: Any) -> Any:
    """Run a query and return the first column of its first row, or None."""
    cursor = await connection.execute(query, parameters)
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def run(connection: Connection, query: Query, **parameters: Any) -> int:
    """Run a query and return how many rows it touched."""
    cursor = await connection.execute(query, parameters)
    return cursor.rowcount
