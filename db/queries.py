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

HEADER = re.compile(rb"^-- (name|part): ([\w.]+)\n", re.MULTILINE)

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)


def load(subject: str) -> Mapping[str, Query]:
    """Return the queries of a subject by name. Raises ValueError for stray text or a double name.

    A caller binds each query to a constant of its module, so that a wrong name fails at the import.
    """
    return _read(subject)["name"]


def load_parts(subject: str) -> Mapping[str, Query]:
    """Return the parts of a subject: fixed texts, of which `fill` puts some into a query."""
    return _read(subject)["part"]


def fill(query: Query, **parts: Query) -> Query:
    """Return a query with each `{slot}` replaced by a part; parts may have slots of later ones.

    Everything that goes in comes from the SQL files: no text of a request is ever a part.
    """
    for name, part in parts.items():
        query = query.replace(f"{{{name}}}".encode(), part)
    return query


@cache
def _read(subject: str) -> Mapping[str, Mapping[str, Query]]:
    stray, *found = HEADER.split(files("db").joinpath("queries", f"{subject}.sql").read_bytes())
    texts: dict[str, dict[str, Query]] = {"name": {}, "part": {}}
    for kind, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
        texts[kind.decode()][name.decode()] = text.strip()
    if stray.strip() or len(texts["name"]) + len(texts["part"]) != len(found) / 3:
        raise ValueError(f"queries/{subject}.sql: text before the first name, or a name twice")
    return texts


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
