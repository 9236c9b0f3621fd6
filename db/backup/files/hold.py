"""Copies the files of the running embedded engine, which serves nobody for the last moment of it.

The engine has one session. While a transaction of ours is open, it does nothing for others, and
nothing by itself: after a checkpoint its files are a whole database.
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
"""What belongs to a running process."""
HELD_BYTES_MAX = 32 << 20
PASSES_MAX = 4
"""While so much changes during a pass, another one is made before anybody has to wait."""
SIGN_EVERY_S = 5.0
"""A client that is silent for longer within a transaction is disconnected."""


class Held(Struct, frozen=True):
    """Where the log is while the engine is held."""

    first_log: str
    last_log: str
    position: str


class Copied(Struct, frozen=True):
    """A copy of a database's files, and how long nobody else was served for it."""

    files: FolderCopy
    held_s: float


async def copy_files(
    connection: Connection,
    source: Path,
    target: Path,
    before_hold: Callable[[], None],
    progress: Progress,
) -> Copied:
    """Copy the files of the engine behind a connection, which is in autocommit, to a new folder.

    `before_hold` is called when the engine is about to be held: whatever was committed until then
    is in the copy. Raises psycopg.OperationalError when the engine went on meanwhile.
    """
    files = FolderCopy(source, target)
    # Else the one below would write everything that changed since the last one.
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
        raise psycopg.OperationalError("the engine went on while its files were copied; try again")


async def _hold(connection: Connection) -> Held:
    [found] = await queries.rows(connection, Held, HOLD)
    return found


async def _alive(connection: Connection, copying: Coroutine[None, None, int]) -> None:
    """Wait for the copy, and ask the engine something now and then."""
    task = asyncio.create_task(copying, name="copy of the files")
    try:
        while not task.done():
            await asyncio.wait([task], timeout=SIGN_EVERY_S)
            await _hold(connection)
    finally:
        # A thread cannot be ended: nobody else may use what it writes to before it has.
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
