"""Supervises a child process: restarts it when it ends or sends no more heartbeats."""

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from msgspec import Struct, field

log = structlog.get_logger()

START_S_MAX = 300.0
"""The limit of a start. After a crash the child replays the write-ahead log, without heartbeats."""
CLOSE_S_MAX = 8.0
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
WELL_AFTER_S = 60.0
LINE_CHARS_MAX = 500
BEATS_READ_MAX = 1024
FRAME = "#<>- \t\r\n"
"""Characters that programs print around a last message."""
NO_MEMORY = "out of memory"


class ChildError(Exception):
    """The child ended before it was ready. The message says why."""


class Child(Struct, kw_only=True):
    """A child process and its state. Each write to its standard output is a heartbeat."""

    command: tuple[str, ...]
    first_arguments: tuple[str, ...] = ()
    """Arguments for the first start only."""
    inherited_fds: tuple[int, ...] = ()
    deadline_s: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    restarts: int = 0
    complaint: str = ""
    """The first line on standard error since the last start, because the cause comes first.

    A later line that says "out of memory" replaces it.
    """


async def supervise(child: Child) -> None:
    """Run the child until cancelled, and restart it when it ends. Raises ChildError.

    1. Start the child, and wait until it ends or sends no heartbeat for too long.
    2. If it was never ready, raise ChildError: a restart would not help.
    3. Otherwise wait for a pause that doubles after each short run, and start it again.
    """
    pause_s = PAUSE_S_MIN
    while True:
        started = time.monotonic()
        child.complaint = ""
        end = await _live(child)
        if not child.ready.is_set():
            raise ChildError(child.complaint or end)
        if time.monotonic() - started > WELL_AFTER_S:
            pause_s = PAUSE_S_MIN
        log.warning("engine_ended", reason=end, complaint=child.complaint, restart_in_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
        child.restarts += 1


async def _live(child: Child) -> str:
    """Run the child once, and return why it ended."""
    try:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            *(() if child.ready.is_set() else child.first_arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=child.inherited_fds,
            env={},  # The child must not see the secrets in the service's environment.
        )
    except OSError as error:
        return str(error)
    async with _attended(process, child):
        return await _listen(process, child)


@asynccontextmanager
async def _attended(process: Process, child: Child) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_log_lines(process, child), name="engine_log")
        try:
            yield
        finally:
            await _close(process)


async def _listen(process: Process, child: Child) -> str:
    """Return why the heartbeats ended.

    A child is killed only after two silent halves of the deadline: one of them can be a delay of
    this process.
    """
    assert process.stdout is not None  # noqa: S101 (for the type checker: it is a pipe)
    patience_s = START_S_MAX / 2
    was_silent = False
    while True:
        try:
            async with asyncio.timeout(patience_s):
                beats = await process.stdout.read(BEATS_READ_MAX)
        except TimeoutError:
            if was_silent:
                _kill(process)
                return f"no heartbeat for {2 * patience_s:g} s"
            was_silent = True
            continue
        if not beats:
            return f"exit status {await process.wait()}"
        child.ready.set()
        patience_s = child.deadline_s / 2
        was_silent = False


async def _close(process: Process) -> None:
    """Ask the child to end by closing its standard input, and kill it after CLOSE_S_MAX."""
    assert process.stdin is not None  # noqa: S101 (for the type checker: it is a pipe)
    process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await process.wait()
    except TimeoutError:
        log.warning("engine_killed", reason=f"it did not close within {CLOSE_S_MAX:g} s")
    finally:
        _kill(process)
        await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


async def _log_lines(process: Process, child: Child) -> None:
    assert process.stderr is not None  # noqa: S101 (for the type checker: it is a pipe)
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:
            continue  # The line was longer than the reader's buffer, which has dropped it.
        if not line:
            return
        text = line.decode(errors="replace").strip(FRAME)[:LINE_CHARS_MAX]
        if NO_MEMORY in text or (text and not child.complaint):
            child.complaint = text
        log.warning("engine_said", line=text)
