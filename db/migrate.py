"""Migrates a database to this version: numbered files once, routines when they change."""

import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.queries import Connection
from model.errors import DomainError

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
LOCK = _QUERIES["lock"]
CREATE_TABLE = _QUERIES["create_table"]
READ_APPLIED = _QUERIES["read_applied"]
RECORD = _QUERIES["record"]
RECORD_ROUTINES = _QUERIES["record_routines"]
AVAILABLE_VERSION = _QUERIES["available_version"]
MISSING_INTERNALS = _QUERIES["missing_internals"]
INSTALLED_VERSION = _QUERIES["installed_version"]
CREATE_EXTENSION = _QUERIES["create_extension"]

NAME = re.compile(r"(\d{4})_\w+\.sql")
ROUTINES = "routines"
TESTED = "2.23.0 (embedded) and 2.29.2"


ALREADY_THERE = (
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DuplicateFunction,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
)

LACKING = (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile)
"""The errors of a server without TimescaleDB, or without its community features."""


class MigrationError(DomainError):
    """The database does not fit this version of Vigia. The message says why."""


class Migration(Struct, frozen=True):
    """One numbered SQL file."""

    version: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql).hexdigest()


class Internal(Struct, frozen=True):
    """An internal function or column of TimescaleDB that Vigia needs."""

    name: str


class Applied(Struct, frozen=True):
    """One row of schema_migrations."""

    version: int
    name: str
    checksum: str


def shipped() -> list[Migration]:
    """Return this version's migrations in order. Raises MigrationError for a gap in the numbers."""
    found = [
        Migration(int(match[1]), match[0], file.read_bytes())
        for file in _sql_files("migrations")
        if (match := NAME.fullmatch(file.name))
    ]
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations are not numbered 0001, 0002, … without a gap")
    return found


async def migrate(connection: Connection, version: int | None = None) -> int:
    """Apply the missing migrations, up to `version` if it is given, and return their number.

    1. Create the extension and the table schema_migrations.
    2. Apply each missing file in its own transaction, which also records the file.
    3. Refuse a database that a newer version of Vigia has migrated.
    4. Create the views and functions again if their text has changed.

    Each transaction takes an advisory lock first, so that a second process waits and then finds
    nothing to do. Raises MigrationError, also for an applied file that was changed since.
    """
    async with connection.transaction():
        await queries.run(connection, LOCK)
        await _create_extension(connection)
        await queries.run(connection, CREATE_TABLE)
    await _check_internals(connection)
    count = 0
    for migration in shipped()[:version]:
        count += await _apply(connection, migration)
    await _refuse_newer(connection)
    if version in {None, len(shipped())}:
        await _apply_routines(connection)
    return count


async def _create_extension(connection: Connection) -> None:
    try:
        await queries.run(connection, CREATE_EXTENSION)
    except LACKING as error:
        raise MigrationError(_unsuitable(error)) from None


def _unsuitable(error: psycopg.Error) -> str:
    return (
        f"the database's server is not a TimescaleDB with its community features: "
        f"{error.diag.message_primary}; install it there, or set VIGIA_DATABASE_URL to a server "
        f"that has it. Vigia was tested with TimescaleDB {TESTED}"
    )


async def _check_internals(connection: Connection) -> None:
    """Raise MigrationError if TimescaleDB lacks an internal function that the maintenance needs."""
    missing = await queries.rows(connection, Internal, MISSING_INTERNALS)
    if missing:
        version = await queries.value(connection, INSTALLED_VERSION)
        raise MigrationError(
            f"TimescaleDB {version} lacks {', '.join(one.name for one in missing)}, which this "
            f"version of Vigia needs; it was tested with {TESTED}"
        )


async def available_version(connection: Connection) -> str | None:
    """Return the version of TimescaleDB that the server can install, or None."""
    version: str | None = await queries.value(connection, AVAILABLE_VERSION)
    return version


async def _apply(connection: Connection, migration: Migration) -> bool:
    async with connection.transaction():
        await queries.run(connection, LOCK)
        applied = await _read_applied(connection)
        known = applied.get(migration.version)
        if known is not None:
            _check_frozen(migration, known)
            return False
        await queries.run(
            connection,
            RECORD,
            version=migration.version,
            name=migration.name,
            checksum=migration.checksum,
        )
        await _execute(connection, migration.name, migration.sql)
    log.info("migration_applied", name=migration.name)
    return True


async def _read_applied(connection: Connection) -> dict[int, Applied]:
    return {row.version: row for row in await queries.rows(connection, Applied, READ_APPLIED)}


def _check_frozen(migration: Migration, applied: Applied) -> None:
    if applied.checksum != migration.checksum:
        raise MigrationError(
            f"{migration.name} was changed after it was applied; write a new migration instead"
        )


async def _refuse_newer(connection: Connection) -> None:
    newest = max(await _read_applied(connection))
    if newest > len(shipped()):
        raise MigrationError(
            f"the database is at version {newest}, but this program knows only {len(shipped())}; "
            "start the newer version of Vigia"
        )


def routines() -> tuple[list[bytes], str]:
    """Return the SQL of the views and functions, and the checksum of all of it."""
    texts = [file.read_bytes() for file in _sql_files(ROUTINES)]
    return texts, hashlib.sha256(b"".join(texts)).hexdigest()


async def _apply_routines(connection: Connection) -> None:
    """Create the views and functions again in one transaction if their text has changed."""
    checksum = routines()[1]
    async with connection.transaction():
        await queries.run(connection, LOCK)
        if not await queries.run(connection, RECORD_ROUTINES, checksum=checksum):
            return
        for file in _sql_files(ROUTINES):
            await _execute(connection, file.name, file.read_bytes())
    log.info("routines_applied")


async def _execute(connection: Connection, name: str, sql: bytes) -> None:
    try:
        await connection.execute(sql)
    except ALREADY_THERE as error:
        raise MigrationError(
            f"{name} cannot be applied: {error.diag.message_primary}, but schema_migrations does "
            "not list that file; restore the database as a whole from one backup"
        ) from None
    except LACKING as error:
        raise MigrationError(_unsuitable(error)) from None
    except psycopg.Error as error:
        error.add_note(f"while applying {name}")
        raise


def _sql_files(folder: str) -> list[Traversable]:
    found = [f for f in files("db").joinpath(folder).iterdir() if f.name.endswith(".sql")]
    return sorted(found, key=lambda file: file.name)
