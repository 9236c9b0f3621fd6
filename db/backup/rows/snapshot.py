"""Reads the tables of a server at one moment, while other sessions write to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from psycopg import IsolationLevel, sql

from db import queries
from db.backup import tables
from db.backup.manifest import NumberSequence
from db.backup.tables import LEFT_OUT, Reading, Versions, composed
from db.queries import Connection

_QUERIES = queries.load(__file__)
CLAIM = _QUERIES["claim"]
RELEASE = _QUERIES["release"]
HOLD = _QUERIES["hold"]
SEQUENCES = _QUERIES["sequences"]


class Snapshot(Struct, frozen=True):
    """The tables to read. The connection sees them as of the time of the snapshot."""

    connection: Connection
    versions: Versions
    readings: list[Reading]
    left_out: list[str]
    sequences: list[NumberSequence]

    @property
    def parts(self) -> int:
        return sum(reading.parts for reading in self.readings)


@asynccontextmanager
async def open_snapshot(connection: Connection) -> AsyncIterator[Snapshot]:
    """Open a transaction that reads every table of Vigia. Writers do not wait for it.

    The connection must be in autocommit, and must not be used for anything else. A snapshot does
    not protect against a chunk that is truncated or dropped later. Therefore each table is locked
    against that first, and the snapshot is taken by the first query after the locks.
    """
    names = tables.our_tables()
    versions = await tables.read_versions(connection)
    await queries.run(connection, CLAIM)
    try:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        sources = await tables.read_sources(connection, names - LEFT_OUT)
        async with connection.transaction():
            held = sql.SQL(", ").join(sql.Identifier(one.schema, one.relation) for one in sources)
            await connection.execute(composed(HOLD, tables=held))
            await tables.fix_settings(connection)
            yield Snapshot(
                connection=connection,
                versions=versions,
                readings=await tables.prepare_readings(connection, sources),
                left_out=await tables.others(connection, names),
                sequences=await queries.rows(connection, NumberSequence, SEQUENCES),
            )
    finally:
        if not connection.closed:
            await queries.run(connection, RELEASE)
