"""Keeps a child process alive: one that ends, or gives no more signs of life, is replaced."""

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from msgspec import Struct, field

log = structlog.get_logger()

START_S_MAX = 300.0
"""A start after a crash replays the write-ahead log, and cannot beat meanwhile."""
CLOSE_S_MAX = 8.0
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
WELL_AFTER_S = 60.0
LINE_CHARS_MAX = 500
BEATS_READ_MAX = 1024
FRAME = "#<>- \t\r\n"
"""What a program draws around its last message."""
NO_MEMORY = "out of memory"


class ChildError(Exception):
    """The child ended before it was ever ready; the message says why."""


class Child(Struct, kw_only=True):
    """What to run, and what became of it. It beats by writing to its standard output."""

    command: tuple[str, ...]
    first_arguments: tuple[str, ...] = ()
    """What only the first life is given."""
    inherited_fds: tuple[int, ...] = ()
    deadline_s: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    restarts: int = 0
    complaint: str = ""
    """The first line on the standard error of this life: the cause comes before its effects.

    Of those that a lack of memory makes, it is the one that says so.
    """


async def supervise(child: Child) -> None:
    """Run the child, again whenever it ends, until cancelled; then it is closed in order."""
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
    """Return why the child's life is over."""
    try:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            *(() if child.ready.is_set() else child.first_arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=child.inherited_fds,
            env={},  # Ours holds the service's secrets, and none of it is for the child.
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
    """Return when the beats end. One silent half of the deadline may be our own delay, not two."""
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
                return f"no sign of life for {2 * patience_s:g} s"
            was_silent = True
            continue
        if not beats:
            return f"exit status {await process.wait()}"
        child.ready.set()
        patience_s = child.deadline_s / 2
        was_silent = False


async def _close(process: Process) -> None:
    """Ask for an orderly end, and see to it after a while."""
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
            continue  # The reader has dropped a line that is longer than it holds.
        if not line:
            return
        text = line.decode(errors="replace").strip(FRAME)[:LINE_CHARS_MAX]
        if NO_MEMORY in text or (text and not child.complaint):
            child.complaint = text
        log.warning("engine_said", line=text)
