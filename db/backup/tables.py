"""The tables of a backup, and the count and checksum of their rows, equal on every engine."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from importlib.resources import files

import psycopg
from msgspec import Struct
from psycopg import sql

from db import queries
from db.backup.manifest import Table
from db.migrate import shipped
from db.queries import Connection
from model.errors import ConflictError

_QUERIES = queries.load(__file__)
SETTINGS = _QUERIES["settings"]
VERSIONS = _QUERIES["versions"]
TABLES = _QUERIES["tables"]
CHUNKS = _QUERIES["chunks"]
COLUMNS = _QUERIES["columns"]
COUNT = _QUERIES["count"]
COPY_OUT = _QUERIES["copy_out"]

_PARTS = queries.load_parts(__file__)
ALL = _PARTS["all"]
BETWEEN = _PARTS["between"]
FIELDS = {kind: _PARTS[f"{kind}_field"] for kind in ("plain", "boolean", "text")}

OURS = re.compile(r"^(?:TABLE|HYPERTABLE|CONTINUOUS AGGREGATE) (\w+)", re.MULTILINE)
LEFT_OUT = frozenset({"schema_migrations", "replica_tokens"})
"""Tables that a new database fills itself. Restored tokens would make a copy look like the
original database."""
CHECKSUM_VALUES = 2**64

Advance = Callable[[int], None]


class Versions(Struct, frozen=True):
    """The versions of a database."""

    server_version: str
    timescaledb_version: str
    schema_version: int


class Source(Struct, frozen=True):
    """One table to read, from the catalogue."""

    name: str
    schema: str
    relation: str
    is_aggregate: bool
    time_column: str | None
    refers_to: list[str]


class Column(Struct, frozen=True):
    """One column, and the kind of text that COPY writes for its values."""

    name: str
    kind: str


class Chunk(Struct, frozen=True):
    """The time range of a chunk."""

    start: datetime
    end: datetime


class Reading(Struct, frozen=True):
    """A table to read in parts, each with its own statement."""

    source: Source
    columns: list[Column]
    chunks: list[Chunk]
    """Empty for a table that is read as a whole."""

    @property
    def parts(self) -> int:
        return len(self.chunks) if self.source.time_column else 1

    def statements(self, statement: queries.Query) -> list[sql.Composed]:
        """Return a statement for each part. Names and times come only from the catalogue."""
        ranges = (
            [self._range(chunk) for chunk in self.chunks]
            if self.source.time_column
            else [composed(ALL)]
        )
        return [
            composed(
                statement,
                table=sql.Identifier(self.source.schema, self.source.relation),
                columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in self.columns),
                fields=sql.SQL(", ").join(
                    composed(FIELDS[column.kind], column=sql.Identifier(column.name))
                    for column in self.columns
                ),
                range=part,
            )
            for part in ranges
        ]

    def _range(self, chunk: Chunk) -> sql.Composed:
        assert self.source.time_column is not None  # noqa: S101 (only what has one has chunks)
        return composed(
            BETWEEN,
            time=sql.Identifier(self.source.time_column),
            start=sql.Literal(chunk.start),
            end=sql.Literal(chunk.end),
        )


def composed(statement: queries.Query, **parts: sql.Composable) -> sql.Composed:
    """Return a statement with its slots replaced by quoted names and values."""
    return sql.SQL(statement.decode()).format(**parts)


async def fix_settings(connection: Connection) -> None:
    """Set the text format of values until the end of the transaction, equal on every server."""
    await queries.run(connection, SETTINGS)


async def read_versions(connection: Connection) -> Versions:
    """Return the versions of a database. Raises ConflictError for another version of Vigia."""
    try:
        [found] = await queries.rows(connection, Versions, VERSIONS)
    except psycopg.errors.UndefinedTable:
        raise ConflictError("the database is empty: there is nothing to back up") from None
    if found.schema_version != (known := len(shipped())):
        raise ConflictError(
            f"the database's schema is at version {found.schema_version}, but this program has "
            f"{known}; make the backup with the version of Vigia that runs on this database"
        )
    return found


def our_tables() -> frozenset[str]:
    """Return the tables and aggregates of this version's schema."""
    return frozenset(OURS.findall(files("db").joinpath("schema.sql").read_text(encoding="utf-8")))


async def read_sources(connection: Connection, names: frozenset[str]) -> list[Source]:
    """Return the tables with these names. Each comes after the tables that its rows refer to."""
    found = {
        one.name: one for one in await queries.rows(connection, Source, TABLES) if one.name in names
    }
    order = TopologicalSorter(
        {name: found.keys() & set(one.refers_to) for name, one in found.items()}
    )
    return [found[name] for name in order.static_order()]


async def others(connection: Connection, names: frozenset[str]) -> list[str]:
    """Return the names of all other tables."""
    return [
        one.name for one in await queries.rows(connection, Source, TABLES) if one.name not in names
    ]


async def prepare_readings(connection: Connection, sources: Sequence[Source]) -> list[Reading]:
    """Return how to read tables. Call it in the transaction that reads them."""
    return [await _reading(connection, source) for source in sources]


async def _reading(connection: Connection, source: Source) -> Reading:
    place = {"schema": source.schema, "relation": source.relation}
    columns = await queries.rows(connection, Column, COLUMNS, **place)
    chunks = await queries.rows(connection, Chunk, CHUNKS, **place)
    return Reading(source, columns, chunks)


async def count(connection: Connection, reading: Reading, advance: Advance) -> Table:
    """Return the number of rows of a table, and their checksum."""
    rows, total = 0, 0
    for statement in reading.statements(COUNT):
        cursor = await connection.execute(statement)
        found = await cursor.fetchone()
        assert found is not None  # noqa: S101 (an aggregate has one row)
        rows, total = rows + found[0], total + int(found[1])
        advance(1)
    return Table(reading.source.name, rows, checksum_text(total))


def checksum_text(total: int) -> str:
    """Return a sum of the first 64 bits of digests in the form of the manifest."""
    return f"{total % CHECKSUM_VALUES:016x}"
