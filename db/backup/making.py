"""Makes a backup: reads the database as it is at one moment, writes it, and reads it back."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import structlog
from msgspec import Struct

from db import queries
from db.backup import tables
from db.backup.archive import ArchiveWriter, fresh_file, new_archive, open_archive
from db.backup.files.hold import copy_files
from db.backup.files.opening import open_copy
from db.backup.folder import new_path, open_folder
from db.backup.manifest import Kind, Manifest, NumberSequence, Table, read_manifest, write_manifest
from db.backup.progress import Progress
from db.backup.rows.dump import check_rows, write_rows
from db.backup.rows.snapshot import open_snapshot
from db.backup.spool_files import write_spool
from db.backup.tables import LEFT_OUT, Versions
from db.engine import FILES, Engine
from db.queries import Connection
from model.errors import UnavailableError
from model.times import utc_now
from runtime.settings import Settings
from runtime.version import __version__

log = structlog.get_logger()

_QUERIES = queries.load(__file__)
DATABASE_BYTES = _QUERIES["database_bytes"]

APPLICATION = "vigia backup"
SCRATCH = "copy-"
FREE_BYTES_MIN = 256 << 20
"""What a backup leaves free: a disk that is full stops the database."""
COPIES = 2
"""How many times the database's size an embedded one takes meanwhile: its files, and the backup."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be made."""

    folder: Path
    reason: str
    spool: Path
    """The folder of samples that were acknowledged and are not in the database yet."""
    closing: Sequence[bytes]
    """Statements that a database which psql makes of the backup ends with."""


class Made(Struct, frozen=True):
    """A backup that was read back and found to be right."""

    path: str
    bytes: int
    manifest: Manifest


class _Content(Struct):
    """What the manifest says of the database; it is found out as the backup is written."""

    kind: Kind
    time: datetime
    versions: Versions
    tables: list[Table]
    spool_bytes: int = 0
    left_out: list[str] = []
    sequences: list[NumberSequence] = []
    held_s: float = 0.0
    unproven: str = ""


async def make(engine: Engine, settings: Settings, wanted: Wanted, progress: Progress) -> Made:
    """Write a backup into a folder, verify it, and return it; others use the database meanwhile.

    Raises UnavailableError where the disk has too little room, ConflictError while another backup
    is written to the folder, DamagedError when what is read back is not what was written; OSError,
    and what the database says.
    """
    connection: Connection = await psycopg.AsyncConnection.connect(
        engine.dsn, autocommit=True, prepare_threshold=None, application_name=APPLICATION
    )
    async with connection:
        with open_folder(wanted.folder):
            await _check_room(connection, wanted.folder, COPIES if engine.embedded else 1)
            path = new_path(wanted.folder, utc_now())
            with fresh_file(path) as fresh:
                with new_archive(fresh) as writer:
                    write = _write_files if engine.embedded else _write_rows
                    content = await write(connection, writer, settings, wanted, progress)
                    manifest = _manifest(content, writer, wanted.reason)
                    write_manifest(writer, manifest)
                await asyncio.to_thread(verify, fresh, progress)
    return Made(str(path), path.stat().st_size, manifest)


def verify(path: Path, progress: Progress) -> Manifest:
    """Read a backup, and compare every byte and row with what it says it holds.

    Blocks on the disk. Raises DamagedError, and OSError.
    """
    with open_archive(path, progress) as archive:
        manifest = read_manifest(archive)
        if manifest.kind is Kind.ROWS:
            check_rows(archive, manifest, progress)
    return manifest


async def _write_rows(
    connection: Connection,
    writer: ArchiveWriter,
    _: Settings,
    wanted: Wanted,
    progress: Progress,
) -> _Content:
    """Write the rows of a server's tables, as they are at one moment."""
    time = utc_now()
    # In this order, a sample that was acknowledged is in one of both, if not in both.
    spool_bytes = await asyncio.to_thread(write_spool, writer, wanted.spool)
    async with open_snapshot(connection) as snapshot:
        return _Content(
            kind=Kind.ROWS,
            time=time,
            versions=snapshot.versions,
            tables=await write_rows(writer, snapshot, wanted.closing, progress),
            spool_bytes=spool_bytes,
            left_out=snapshot.left_out,
            sequences=snapshot.sequences,
        )


async def _write_files(
    connection: Connection,
    writer: ArchiveWriter,
    settings: Settings,
    wanted: Wanted,
    progress: Progress,
) -> _Content:
    """Write the files of the embedded engine, as they are at one moment; then open a copy."""
    content = _Content(Kind.FILES, utc_now(), await tables.read_versions(connection), [])

    def before_hold() -> None:
        content.time = utc_now()
        content.spool_bytes = write_spool(writer, wanted.spool)

    with _scratch(wanted.folder) as scratch:
        source = settings.data_dir.resolve() / FILES
        copied = await copy_files(connection, source, scratch / FILES, before_hold, progress)
        content.held_s = copied.held_s
        files = copied.files
        progress.begin("files written", len(files.files))
        for folder in sorted(files.folders):
            writer.add_folder((Path(FILES) / folder).as_posix())
        for file in files.files:
            await asyncio.to_thread(writer.add_file, f"{FILES}/{file}", files.path_of(file))
            progress.advance(1)
        await _prove(content, settings, scratch, progress)
    return content


async def _prove(content: _Content, settings: Settings, scratch: Path, progress: Progress) -> None:
    """Open the copy with another engine, and count its rows."""
    try:
        async with open_copy(settings, scratch) as copy, copy.transaction():
            await tables.fix_settings(copy)
            sources = await tables.read_sources(copy, tables.our_tables() - LEFT_OUT)
            readings = await tables.prepare_readings(copy, sources)
            progress.begin("parts counted", sum(reading.parts for reading in readings))
            content.tables = [await tables.count(copy, one, progress.advance) for one in readings]
    except UnavailableError as error:
        log.warning("backup_not_proven", reason=str(error))
        content.unproven = str(error)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for a copy that nobody needs afterwards; a kill may have left others."""
    for left in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as made:
        yield Path(made)


def _manifest(content: _Content, writer: ArchiveWriter, reason: str) -> Manifest:
    return Manifest(
        kind=content.kind,
        time=content.time,
        finished_at=utc_now(),
        reason=reason,
        program=__version__,
        schema_version=content.versions.schema_version,
        server_version=content.versions.server_version,
        timescaledb_version=content.versions.timescaledb_version,
        held_s=round(content.held_s, 3),
        tables=content.tables,
        unproven=content.unproven,
        sequences=content.sequences,
        left_out=content.left_out,
        spool_bytes=content.spool_bytes,
        members=list(writer.members),
    )


async def _check_room(connection: Connection, folder: Path, times: int) -> None:
    size: int = await queries.value(connection, DATABASE_BYTES)
    needed, free = times * size + FREE_BYTES_MIN, shutil.disk_usage(folder).free
    if free < needed:
        raise UnavailableError(
            f"a backup needs about {needed >> 20} MB in {folder}, and {free >> 20} MB are free"
        )
