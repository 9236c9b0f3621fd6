"""Makes a backup: reads the database at one moment, writes it to a file, and verifies the file."""

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
"""The free space that a backup leaves on the disk, because a full disk stops the database."""
COPIES = 2
"""How many times the size of the database a backup of the embedded engine needs: a copy of its
files, and the backup itself."""


class Wanted(Struct, frozen=True, kw_only=True):
    """The options of a backup."""

    folder: Path
    reason: str
    spool: Path
    """The spool: acknowledged samples that are not in the database yet."""
    closing: Sequence[bytes]
    """Statements at the end of the psql script in the backup."""


class Made(Struct, frozen=True):
    """A finished and verified backup."""

    path: str
    bytes: int
    manifest: Manifest


class _Content(Struct):
    """The part of the manifest that is collected while the backup is written."""

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
    """Write a backup into a folder, verify it, and return it. The service runs meanwhile.

    Raises UnavailableError if the disk has too little space, ConflictError while another backup is
    written to the folder, DamagedError if the verification fails, OSError, and psycopg.Error.
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
    """Read a backup, and compare all bytes and rows with its digest and manifest.

    It blocks on the disk. Raises DamagedError, OSError.
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
    """Write the rows of a server's tables at one moment."""
    time = utc_now()
    # The spool comes before the snapshot. A sample that moves from the spool to the database in
    # between is in both, which is harmless. In the other order it could be in neither.
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
    """Write the files of the embedded engine at one moment; then open the copy as a proof."""
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
    """Open the copy with another engine, and count its rows. Note a lack of memory instead."""
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
    """Yield a temporary folder. Delete folders that killed processes left."""
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
            f"a backup needs about {needed >> 20} MB in {folder}, but {free >> 20} MB are free; "
            "delete files there, or name another folder"
        )
