"""Restores a backup into a data directory, or into an empty database of a server."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
from msgspec import Struct

from db.backup.archive import Archive, open_archive
from db.backup.files.opening import open_copy
from db.backup.making import APPLICATION
from db.backup.manifest import Kind, Manifest, read_manifest
from db.backup.progress import Progress
from db.backup.rows.dump import check_rows
from db.backup.rows.load import Finish, check_tables, load_rows, refuse_filled
from db.backup.spool_files import restore_spool
from db.engine import FILES, lock_of
from db.migrate import migrate
from db.queries import Connection
from model.errors import ConflictError
from runtime.disk import sync_folder
from runtime.file_lock import FileLock
from runtime.settings import Settings

SCRATCH = "restoring"
SPOOL_LOCK = "lock"


class Target(Struct, frozen=True, kw_only=True):
    """The target of a restore, and its options."""

    settings: Settings
    spool: Path
    replace: bool
    finish: Finish


async def restore(path: Path, target: Target, progress: Progress) -> Manifest:
    """Verify a backup, restore it, and check the restored rows against its manifest.

    1. Verify the whole file. Until then nothing is changed.
    2. Refuse a target of the other kind, or one that a service uses.
    3. Restore to a scratch folder or an empty database, and count the rows.
    4. Put the files in place. With `replace`, the old embedded database is deleted only now.

    Raises DamagedError for a damaged file; ConflictError for a target that is in use, of the other
    kind, or not empty; OSError, and psycopg.Error.
    """
    with ExitStack() as stack:
        opening = open_archive(path, progress)
        archive = await asyncio.to_thread(stack.enter_context, opening)
        manifest = read_manifest(archive)
        _refuse_other_kind(manifest, target.settings)
        stack.enter_context(_spool_of(target.spool))
        if manifest.kind is Kind.FILES:
            await _restore_files(archive, manifest, target, progress)
        else:
            await asyncio.to_thread(check_rows, archive, manifest, progress)
            await _restore_rows(archive, manifest, target, progress)
    return manifest


def _refuse_other_kind(manifest: Manifest, settings: Settings) -> None:
    if manifest.kind is Kind.FILES and settings.database_url is not None:
        raise ConflictError(
            "this is a backup of the embedded database, but VIGIA_DATABASE_URL names a server; "
            "unset the variable to restore into the data directory"
        )
    if manifest.kind is Kind.ROWS and settings.database_url is None:
        raise ConflictError(
            "this is a backup of a server's database; set VIGIA_DATABASE_URL to an empty "
            "database to restore into"
        )


@contextmanager
def _spool_of(folder: Path) -> Iterator[None]:
    """Lock the folder of a spool. Raises ConflictError while a service uses it."""
    # The parent is created separately, because mkdir applies `mode` only to the last folder.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with closing(FileLock(folder / SPOOL_LOCK)) as lock:
        if not lock.try_lock():
            raise ConflictError(f"a service uses {folder.parent}; stop it first")
        yield


async def _restore_files(
    archive: Archive, manifest: Manifest, target: Target, progress: Progress
) -> None:
    data_dir = target.settings.data_dir.resolve()
    with closing(lock_of(data_dir)) as lock:
        if not lock.try_lock():
            raise ConflictError(f"a service or a command uses {data_dir}; stop it first")
        files, scratch = data_dir / FILES, data_dir / SCRATCH
        if files.exists() and not target.replace:
            raise ConflictError(
                f"{files} already contains a database; set VIGIA_DATA_DIR to another folder, or "
                "replace that database with --replace"
            )
        await asyncio.to_thread(_unpack, archive, scratch, progress)
        async with open_copy(target.settings, scratch) as connection:
            await check_tables(connection, manifest, progress)
            await migrate(connection)
            await target.finish(connection)
        await asyncio.to_thread(restore_spool, archive, target.spool)
        await asyncio.to_thread(_put_in_place, scratch, files)


def _unpack(archive: Archive, scratch: Path, progress: Progress) -> None:
    """Unpack the files of the database into the scratch folder."""
    shutil.rmtree(scratch, ignore_errors=True)
    for name in archive.folders:
        (scratch / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    names = [name for name in archive.names if name.startswith(f"{FILES}/")]
    progress.begin("files restored", len(names))
    for name in names:
        with (scratch / name.removesuffix(".gz")).open("xb") as file:
            for piece in archive.pieces(name):
                file.write(piece)
        progress.advance(1)


def _put_in_place(scratch: Path, files: Path) -> None:
    """Rename the restored files to their final path, and then delete the replaced ones."""
    # One sync for all files, before the rename. Syncing each file takes ten times as long.
    os.sync()
    replaced = scratch / "replaced"
    if files.exists():
        files.rename(replaced)
    (scratch / FILES).rename(files)
    sync_folder(files.parent)
    shutil.rmtree(scratch)


async def _restore_rows(
    archive: Archive, manifest: Manifest, target: Target, progress: Progress
) -> None:
    url = target.settings.database_url
    assert url is not None  # noqa: S101 (`_refuse_other_kind` has checked it)
    connection: Connection = await psycopg.AsyncConnection.connect(
        url.reveal(), autocommit=True, application_name=APPLICATION
    )
    async with connection:
        await refuse_filled(connection)
        await asyncio.to_thread(restore_spool, archive, target.spool)
        await load_rows(connection, archive, manifest, target.finish, progress)
