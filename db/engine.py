"""Provides a database: the server in the settings, or an embedded TimescaleDB that it starts."""

import asyncio
import hashlib
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from msgspec import Struct
from psycopg.conninfo import make_conninfo

from db.engine_packages import NODE, install
from db.supervisor import NO_MEMORY, Child, ChildError, supervise
from model.errors import DomainError
from runtime.file_limit import ADVICE, raise_file_limit
from runtime.file_lock import FileLock
from runtime.settings import Secret, Settings

BRIDGE = "bridge.mjs"
# The WebAssembly compiler is busy only at the start: one worker thread is enough, and saves 50 MB.
NODE_FLAGS = ("--v8-pool-size=1",)

FILES = "postgres"
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX = 103
"""The longest path of a Unix socket on every system: 103 bytes on macOS, 107 on Linux."""
LOCK_WAIT_S = 10.0
DEADLINE_S = 30.0
FILES_MIN = 256
"""The open files that the engine needs. With 64 it fails while it creates its database, and leaves
files that no later start can use."""


class EngineError(DomainError):
    """The embedded database cannot be used. The message is one line for the operator."""


class Engine(Struct, kw_only=True):
    """A database that accepts connections."""

    address: Secret
    embedded: bool
    child: Child | None = None

    @property
    def dsn(self) -> str:
        return self.address.reveal()

    @property
    def restarts(self) -> int:
        """How often the embedded database was restarted."""
        return self.child.restarts if self.child else 0


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    share: bool = False,
    lock_wait_s: float = LOCK_WAIT_S,
    deadline_s: float = DEADLINE_S,
    may_forget: bool = False,
) -> AsyncIterator[Engine]:
    """Yield a running engine, and stop it at the end. Raises EngineError.

    A data directory belongs to one engine at a time. With `share`, an engine that already runs is
    used. Without it, its end is awaited for `lock_wait_s` seconds. If a query runs for longer than
    `deadline_s` seconds, the embedded engine is killed and restarted. A client that is silent for
    that long inside a transaction is disconnected. With `may_forget`, nothing is synced to the
    disk; this is for copies that are deleted later.
    """
    if settings.database_url is not None:
        yield Engine(address=settings.database_url, embedded=False)
        return
    data_dir = settings.data_dir.resolve()
    with closing(lock_of(data_dir)) as lock:
        if await lock.lock(0 if share else lock_wait_s):
            engine_dir = settings.engine_dir
            async with _run(data_dir, engine_dir, lock, deadline_s, may_forget) as engine:
                yield engine
        elif share:
            yield Engine(address=_address(_holder(lock)[1]), embedded=True)
        else:
            pid, _ = _holder(lock)
            raise EngineError(
                f"VIGIA_DATA_DIR: {data_dir} is in use; name another, or stop process {pid}"
            )


def lock_of(data_dir: Path) -> FileLock:
    """Create a data directory if it is missing, and return its lock. Raises EngineError.

    The engine's process inherits the lock, and may run longer than this process.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(data_dir / "lock")
    except (FileExistsError, NotADirectoryError):
        raise EngineError(
            f"VIGIA_DATA_DIR: {data_dir} is not a directory; name a directory or a new path"
        ) from None
    except OSError as error:
        raise EngineError(f"VIGIA_DATA_DIR: {data_dir}: {error.strerror}") from None


def _holder(lock: FileLock) -> tuple[str, Path]:
    """Return the process id and the socket directory of the lock's holder."""
    pid, _, socket_dir = lock.read().partition("\n")
    return pid, Path(socket_dir)


@asynccontextmanager
async def _run(
    data_dir: Path, engine_dir: Path | None, lock: FileLock, deadline_s: float, may_forget: bool
) -> AsyncIterator[Engine]:
    _check_file_limit()
    _check_files(data_dir / FILES)
    socket_dir = _socket_dir(data_dir)
    lock.write(f"{os.getpid()}\n{socket_dir}")
    bridge = await install(data_dir, engine_dir) / BRIDGE
    child = _child(bridge, data_dir, socket_dir, lock.fd, deadline_s, may_forget)
    try:
        async with asyncio.TaskGroup() as tasks:
            supervisor = tasks.create_task(supervise(child), name="engine")
            await child.ready.wait()
            yield Engine(address=_address(socket_dir), embedded=True, child=child)
            supervisor.cancel()
    except BaseExceptionGroup as group:
        # Unwrap the group of the TaskGroup, so that the caller sees its own exception.
        error = group.exceptions[0]
        if isinstance(error, ChildError):
            raise EngineError(
                f"the embedded database in {data_dir} does not start: {_words(str(error))}"
            ) from None
        raise (error if len(group.exceptions) == 1 else group) from None
    finally:
        if socket_dir != data_dir:
            with suppress(OSError):
                socket_dir.rmdir()


def _check_file_limit() -> None:
    """Raise the limit of open files for the child. Raises EngineError if it stays too low."""
    if (files := raise_file_limit()) < FILES_MIN:
        raise EngineError(
            f"the embedded database needs {FILES_MIN} open files, but this process may open only "
            f"{files}; {ADVICE}"
        )


def _check_files(files: Path) -> None:
    """Raise EngineError for a folder without a database.

    Otherwise a new database would be created where a disk is only not mounted.
    """
    if not files.exists() or (files / "PG_VERSION").is_file():
        return
    found = "has no file PG_VERSION."
    if files.is_dir() and not any(files.iterdir()):
        found = "is empty; is a disk not mounted?"
    raise EngineError(
        f"VIGIA_DATA_DIR: {files} is not a database: it {found} Mount or restore it, "
        "or remove the directory to begin with a new database"
    )


def _words(complaint: str) -> str:
    if NO_MEMORY not in complaint:
        return complaint
    return (
        f"{complaint}. It needs about 1 GB of memory, and no limit on addresses (ulimit -v); "
        "raise the limit of the process or the container"
    )


def _child(
    bridge: Path,
    data_dir: Path,
    socket_dir: Path,
    lock_fd: int,
    deadline_s: float,
    may_forget: bool,
) -> Child:
    allowed = ("forget",) if may_forget else ()
    files = (str(bridge), str(data_dir / FILES), str(socket_dir / SOCKET))
    return Child(
        first_arguments=("create",),
        command=(str(NODE), *NODE_FLAGS, *files, str(round(1000 * deadline_s)), *allowed),
        inherited_fds=(lock_fd,),
        deadline_s=deadline_s,
    )


def _socket_dir(data_dir: Path) -> Path:
    """Return the directory of the socket: the data directory, or a private temporary one.

    The path of a Unix socket must be short, and must not contain a comma.
    """
    fits = len(os.fsencode(data_dir / SOCKET)) <= SOCKET_PATH_BYTES_MAX
    # A comma separates hosts in a connection string.
    if fits and "," not in str(data_dir):
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"vigia-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EngineError(f"{private} is not a private directory of this user; remove it")
    return private


def _address(socket_dir: Path) -> Secret:
    host = str(socket_dir)
    return Secret(make_conninfo(host=host, port=PORT, user="postgres", dbname="template1"))
