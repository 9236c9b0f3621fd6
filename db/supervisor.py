"""Keeps a child process alive: while it lives it beats, when it ends or falls silent it is replaced."""

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from msgspec import Struct, field

log = structlog.get_logger()

START_S_MAX = 300.0
"""Recovery after a crash replays the log, and cannot beat meanwhile."""
CLOSE_S_MAX = 8.0
PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 5.0
WELL_AFTER_S = 60.0
LINE_CHARS_MAX = 500
BEATS_READ_MAX = 1024


class ChildError(Exception):
    """The child ended before it was ever ready; the message is its last words."""


class Child(Struct, kw_only=True):
    """What to run, and what became of it."""

    command: tuple[str, ...]
    inherited_fds: tuple[int, ...] = ()
    deadline_s: float
    restarts: int = 0
    last_words: str = ""
    ready: asyncio.Event = field(default_factory=asyncio.Event)


async def supervise(child: Child) -> None:
    """Run the child, and again whenever it ends, until cancelled; the child is closed in order then."""
    pause_s = PAUSE_S_MIN
    while True:
        started = time.monotonic()
        reason = await _live(child)
        if not child.ready.is_set():
            raise ChildError(child.last_words or reason)
        if time.monotonic() - started > WELL_AFTER_S:
            pause_s = PAUSE_S_MIN
        log.warning("engine_ended", reason=reason, last_words=child.last_words, pause_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
        child.restarts += 1


async def _live(child: Child) -> str:
    """Return why the child's life is over."""
    try:
        async with _spawn(child) as process:
            return await _listen(process, child)
    except OSError as error:
        return f"cannot run {child.command[0]}: {error.strerror}"


@asynccontextmanager
async def _spawn(child: Child) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *child.command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        pass_fds=child.inherited_fds,
        # The service's secrets are in its environment; the child needs nothing of it.
        env={},
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_log_lines(process, child), name="engine_log")
        try:
            yield process
        finally:
            await _close(process)


async def _listen(process: Process, child: Child) -> str:
    """Wait until the beats end. One silent half of the deadline may be our own delay; two are not."""
    assert process.stdout is not None
    patience_s = START_S_MAX / 2
    silences = 0
    while silences < 2:  # noqa: PLR2004 (said above)
        try:
            async with asyncio.timeout(patience_s):
                beats = await process.stdout.read(BEATS_READ_MAX)
        except TimeoutError:
            silences += 1
            continue
        if not beats:
            return f"ended with {await process.wait()}"
        child.ready.set()
        patience_s = child.deadline_s / 2
        silences = 0
    process.kill()
    return f"gave no sign of life for {2 * patience_s:g} s"


async def _close(process: Process) -> None:
    """Ask for an orderly end, and after a while see to it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await process.wait()
    except TimeoutError:
        log.warning("engine_killed", reason=f"did not close within {CLOSE_S_MAX:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _log_lines(process: Process, child: Child) -> None:
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:
            continue  # A line longer than the reader's limit is dropped.
        if not line:
            return
        child.last_words = line.decode(errors="replace").strip()[:LINE_CHARS_MAX]
        log.info("engine_said", line=child.last_words)
