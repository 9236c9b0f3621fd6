"""Restores the rows of a backup into an empty database of a server."""

from collections.abc import Awaitable, Callable

from msgspec import Struct, structs
from psycopg import sql

from db import queries
from db.backup import tables
from db.backup.archive import Archive, DamagedError
from db.backup.manifest import Manifest
from db.backup.progress import Progress
from db.backup.rows.dump import rows_of
from db.backup.rows.script import SHOW_AGGREGATES
from db.backup.tables import Reading, composed
from db.migrate import migrate
from db.queries import Connection
from model.errors import ConflictError

_QUERIES = queries.load(__file__)
IS_EMPTY = _QUERIES["is_empty"]
HIDE = _QUERIES["hide"]
SHOW = _QUERIES["show"]
EMPTY = _QUERIES["empty"]
COPY_IN = _QUERIES["copy_in"]
SET_SEQUENCE = _QUERIES["set_sequence"]


Finish = Callable[[Connection], Awaitable[None]]
"""Called with the restored database before any service can use it."""


class _Applied(Struct, frozen=True):
    version: int
    name: str
    checksum: str


async def refuse_filled(connection: Connection) -> None:
    """Raise ConflictError for a database that is not empty."""
    if not await queries.value(connection, IS_EMPTY):
        raise ConflictError(
            f"the database {connection.info.dbname} is not empty; create a new one with "
            "CREATE DATABASE, and set VIGIA_DATABASE_URL to it"
        )


async def load_rows(
    connection: Connection,
    archive: Archive,
    manifest: Manifest,
    finish: Finish,
    progress: Progress,
) -> None:
    """Fill an empty database, and check it. The connection must be in autocommit.

    1. Create the tables of the backup's version, but remove the rows of schema_migrations. Until
       they are back, no service uses the database, even after a failure.
    2. Copy the rows into the tables.
    3. Count them. Raises DamagedError if they differ from the manifest.
    4. In one transaction: put the rows of schema_migrations back, migrate to this version, and
       call `finish`.
    5. Let the aggregates show their restored rows.
    """
    async with connection.transaction():
        await migrate(connection, manifest.schema_version)
        applied = await queries.rows(connection, _Applied, HIDE)
    names = frozenset(table.name for table in manifest.tables)
    sources = await tables.read_sources(connection, names)
    readings = await tables.prepare_readings(connection, sources)
    own = [sql.Identifier(one.name) for one in sources if not one.is_aggregate]
    await connection.execute(composed(EMPTY, tables=sql.SQL(", ").join(own)))
    progress.begin("parts restored", sum(len(rows_of(archive, one.name)) for one in sources))
    for reading in readings:
        await _load_table(connection, archive, reading, progress)
    for one in manifest.sequences:
        await queries.run(connection, SET_SEQUENCE, name=one.name, last_value=one.last_value)
    await check_tables(connection, manifest, progress)
    async with connection.transaction():
        for row in applied:
            await queries.run(connection, SHOW, **structs.asdict(row))
        await migrate(connection)
        await finish(connection)
    await connection.execute(SHOW_AGGREGATES)


async def _load_table(
    connection: Connection, archive: Archive, reading: Reading, progress: Progress
) -> None:
    """Copy each member in its own statement.

    One COPY of a whole table could create more chunks than a transaction can lock.
    """
    table = sql.Identifier(reading.source.schema, reading.source.relation)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in reading.columns)
    statement = composed(COPY_IN, table=table, columns=columns)
    for member in rows_of(archive, reading.source.name):
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for piece in archive.pieces(member):
                await copy.write(piece)
        progress.advance(1)


async def check_tables(connection: Connection, manifest: Manifest, progress: Progress) -> None:
    """Compare the rows of a database with the manifest. Raises DamagedError."""
    wanted = {table.name: table for table in manifest.tables}
    async with connection.transaction():
        await tables.fix_settings(connection)
        sources = await tables.read_sources(connection, frozenset(wanted))
        if missing := wanted.keys() - {source.name for source in sources}:
            raise DamagedError(f"the restored database lacks {', '.join(sorted(missing))}")
        readings = await tables.prepare_readings(connection, sources)
        progress.begin("parts checked", sum(reading.parts for reading in readings))
        for reading in readings:
            found = await tables.count(connection, reading, progress.advance)
            if found != (table := wanted[found.name]):
                raise DamagedError(
                    f"table {found.name}: {found.rows} rows with checksum {found.checksum} were "
                    f"restored, but the backup has {table.rows} with {table.checksum}"
                )
