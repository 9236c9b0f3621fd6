"""Named queries: each module loads its SQL from the file beside it, and runs it by name."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
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
COMMENT = re.compile(rb"\A(--[^\n]*\n)+")
INDENT = b"    "

set_json_dumps(msgspec.json.encode)
set_json_loads(msgspec.json.decode)


def load(module: str, name: str = "") -> Mapping[str, Query]:
    """Return the queries of the SQL file beside a module, by name. `module` is its `__file__`.

    The file has the module's name unless another is given. Raises ValueError for text before the
    first name, or a repeated name. A caller binds each query to a constant of its module, so that
    a wrong name fails at import.
    """
    return _read(_beside(module, name))["name"]


def load_parts(module: str, name: str = "") -> Mapping[str, Query]:
    """Return the parts of the SQL file beside a module: fixed texts that `fill` inserts."""
    return _read(_beside(module, name))["part"]


def _beside(module: str, name: str) -> Path:
    path = Path(module)
    return path.with_name(f"{name}.sql") if name else path.with_suffix(".sql")


def fill(query: Query, **parts: Query) -> Query:
    """Return a query with each `{slot}` replaced by a part. A part may have slots of later parts.

    All parts come from SQL files, never from a request. A part is indented like its slot. In a line
    that begins with other text it is indented further, and its leading comment is left out.
    """
    for name, part in parts.items():
        before, *rest = query.split(f"{{{name}}}".encode())
        for after in rest:
            before += _fitted(part, before.rpartition(b"\n")[2]) + after
        query = before
    return query


def _fitted(part: Query, line: bytes) -> Query:
    """Return a part indented for the beginning of its line."""
    words = line.lstrip(b" ")
    indent = line[: len(line) - len(words)]
    if words:
        part, indent = COMMENT.sub(b"", part), indent + INDENT
    return part.replace(b"\n", b"\n" + indent)


@cache
def _read(path: Path) -> Mapping[str, Mapping[str, Query]]:
    stray, *found = HEADER.split(path.read_bytes())
    texts: dict[str, dict[str, Query]] = {"name": {}, "part": {}}
    for kind, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
        texts[kind.decode()][name.decode()] = text.strip()
    if stray.strip() or len(texts["name"]) + len(texts["part"]) != len(found) / 3:
        raise ValueError(f"{path.name}: text before the first name, or a repeated name")
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
    """Run a query and return the number of affected rows."""
    cursor = await connection.execute(query, parameters)
    return cursor.rowcount
