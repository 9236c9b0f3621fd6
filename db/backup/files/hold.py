"""Copies the files of the running embedded engine. It serves no other client for the last moment.

The engine has one session. While our transaction is open, it runs no other statement and has no
background work. So after a checkpoint its files are a consistent database.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import psycopg
from msgspec import Struct

from db import queries
from db.backup.files.copying import FolderCopy
from db.backup.progress import Progress
from db.queries import Connection

_QUERIES = queries.load(__file__)
CHECKPOINT = _QUERIES["checkpoint"]
HOLD = _QUERIES["hold"]

LOG = "pg_wal"
LEFT_OUT = {"postmaster.pid", "postmaster.opts"}
"""Files that belong to a running process, and not to the database."""
HELD_BYTES_MAX = 32 << 20
PASSES_MAX = 4
"""Passes are repeated before the engine is held, up to this number, while each of them copies more
than `HELD_BYTES_MAX`."""
SIGN_EVERY_S = 5.0
"""Seconds between two statements in the transaction. The engine disconnects a client that is silent
inside a transaction for too long."""


class Held(Struct, frozen=True):
    """The position of the write-ahead log while the engine is held."""

    first_log: str
    last_log: str
    position: str


class Copied(Struct, frozen=True):
    """A copy of the database files, and for how many seconds no other client was served."""

    files: FolderCopy
    held_s: float


async def copy_files(
    connection: Connection,
    source: Path,
    target: Path,
    before_hold: Callable[[], None],
    progress: Progress,
) -> Copied:
    """Copy the engine's files to a new folder. The connection must be in autocommit.

    1. Make a checkpoint, and copy most of the files while the engine serves others.
    2. Call `before_hold`. Everything that was committed before it is in the copy.
    3. Hold the engine with a transaction, make a checkpoint, and copy the remaining changes.
    4. Check that the write-ahead log has not moved. If it has, raise psycopg.OperationalError.
    """
    files = FolderCopy(source, target)
    # Without it, the checkpoint in the hold would write all changes since the last one.
    await queries.run(connection, CHECKPOINT)
    for _ in range(PASSES_MAX):
        progress.begin("bytes copied", _size(source))
        changed = await asyncio.to_thread(files.update, _is_data, time.time_ns(), progress.advance)
        if changed <= HELD_BYTES_MAX:
            break
    await asyncio.to_thread(before_hold)
    began = time.monotonic()
    async with connection.transaction():
        await _copy_rest(connection, files)
    return Copied(files, time.monotonic() - began)


async def _copy_rest(connection: Connection, files: FolderCopy) -> None:
    await queries.run(connection, CHECKPOINT)
    held = await _hold(connection)

    def is_wanted(file: Path) -> bool:
        is_log = file.parent.name == LOG and held.first_log <= file.name <= held.last_log
        return is_log or _is_data(file)

    await _alive(connection, asyncio.to_thread(files.update, is_wanted, time.time_ns()))
    if await _hold(connection) != held:
        raise psycopg.OperationalError(
            "the database changed while its files were copied; start the backup again"
        )


async def _hold(connection: Connection) -> Held:
    [found] = await queries.rows(connection, Held, HOLD)
    return found


async def _alive(connection: Connection, copying: Coroutine[None, None, int]) -> None:
    """Wait for the copy, and send a statement every SIGN_EVERY_S to keep the transaction open."""
    task = asyncio.create_task(copying, name="copy of the files")
    try:
        while not task.done():
            await asyncio.wait([task], timeout=SIGN_EVERY_S)
            await _hold(connection)
    finally:
        # A thread cannot be cancelled. Wait for it, because it still writes to the copy.
        await asyncio.wait([task])
    await task


def _is_data(file: Path) -> bool:
    return LOG not in file.parts and file.name not in LEFT_OUT


def _size(folder: Path) -> int:
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and _is_data(file.relative_to(folder))
    )
