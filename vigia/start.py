"""The start of a service whose database may be away: it is awaited, unless it can never be had."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from msgspec import Struct

from alerts.evaluation.evaluator import add_built_in_rules
from db import sessions
from db.engine import Engine
from db.failures import FAILURES, Failure, describe, failure_of
from db.migrate import migrate
from db.pool import AwayError, DatabasePool
from db.queries import Connection
from health.monitor import Monitor
from model.times import utc_now
from samples.database.incarnation import (
    LEARN_TIMEOUT_S,
    Incarnations,
    UnfitError,
    refuse_unready,
)
from samples.spooling.spool import SampleSpool
from samples.writer import Writer
from vigia.current_config import CurrentConfig

log = structlog.get_logger()

RETRY_S = 0.5
LOOK_S = 0.5
ASK_TIMEOUT_S = 1.0
FIRST_ANSWER_S = 2.0
"""Of the connection on which the database is prepared: it may be silent from the beginning."""
SILENT_S = 1.5
"""So long the server waits for the next statement only when its answer to the last one is lost."""
GRACE_S = 30.0
"""A server that is being set up may not have the database or the role yet."""
HAS_BEGUN = "has-begun"
"""A file in the data directory: a service with this directory had a database of its own before."""
FINAL = re.compile(
    "password authentication failed|no password supplied|no pg_hba.conf entry"
    '|(database|role) "[^"]*" does not exist'
)
"""What PostgreSQL says to a connection where waiting changes nothing. It says it in the server's
language: of other languages, all is waited for."""


class Start(Struct, kw_only=True):
    """Prepares the database, as often as it takes; `is_complete` once it has been prepared."""

    data_dir: Path
    engine: Engine
    pool: DatabasePool
    requests: DatabasePool
    spool: SampleSpool
    writer: Writer
    incarnations: Incarnations
    config: CurrentConfig
    monitor: Monitor
    is_complete: bool = False
    cause: str = ""
    """Why the last attempt failed, for an operator; what the pool says goes before it."""
    preparing_pid: int = 0
    """The server's process that prepares the database; 0 while none does."""

    @property
    def obstacle(self) -> str:
        """Why nothing can be asked of the database yet; empty once it has been prepared."""
        if self.is_complete:
            return ""
        away = f"the database is away: {self.pool.cause}" if self.pool.cause else ""
        cause = away or self.cause or "its database is being prepared"
        return f"the service is still starting; {cause}"

    async def run(self, grace_s: float = GRACE_S) -> None:
        """Prepare the database as soon as it is there, and takes what is written to it.

        Raises AwayError with the cause when that stays, for `grace_s`, one that only an operator
        can mend; at once what says that database and program do not fit (MigrationError), or that
        the database will never take what is written at the start.
        """
        wrong_since, logged = None, ""
        while cause := await self._try():
            if cause != logged:
                log.warning("start_waits", cause=cause)
            logged = cause
            interval_s = self.config.value.intervals.health_s
            self.monitor.missed.note_waiting(utc_now(), interval_s)
            refused = self.pool.cause
            if FINAL.search(refused):
                wrong_since = wrong_since or time.monotonic()
                if time.monotonic() - wrong_since >= grace_s:
                    raise AwayError(refused)
            else:
                wrong_since = None
            await asyncio.sleep(RETRY_S)

    async def prepare(self) -> None:
        """Bring the database to this version, and learn what it holds; may be tried again."""
        has_begun = self.data_dir / HAS_BEGUN
        async with self.pool.connection() as connection, self._watched(connection):
            waits = has_begun.exists() and not self.spool.is_empty
            await refuse_unready(connection, self.spool.folder if waits else None)
            await migrate(connection)
            await self.incarnations.begin(connection)
            await self.config.begin(connection)
            await add_built_in_rules(connection)
        async with asyncio.timeout(LEARN_TIMEOUT_S):
            await self.writer.learn()
        has_begun.touch(mode=0o600)
        self.is_complete = True

    @asynccontextmanager
    async def _watched(self, connection: Connection) -> AsyncIterator[None]:
        """Let others see, on another connection, whether the server still works for this one."""
        async with asyncio.timeout(FIRST_ANSWER_S):
            self.preparing_pid = await sessions.own_pid(connection)
        try:
            yield
        finally:
            self.preparing_pid = 0

    async def _try(self) -> str:
        """Try to prepare. Return why the database is not fit, as it may be later; else empty."""
        try:
            await self._prepare_watched()
        except FAILURES as error:
            if failure_of(error) is Failure.REFUSED or self._must_end(error):
                raise
            cause = describe(error)
            # Why no connection can be made, the pool knows, and when that has ended as well.
            self.cause = "" if isinstance(error, AwayError) else cause
            return cause
        return ""

    async def _prepare_watched(self) -> None:
        """Prepare. Raises TimeoutError when the server's answers do not arrive.

        A proxy may keep a connection open whose other end is gone. A migration may take long too,
        or wait for a lock; then another connection sees that the server works.
        """
        preparing = asyncio.create_task(self.prepare(), name="prepare")
        try:
            while not preparing.done():
                await asyncio.wait([preparing], timeout=LOOK_S)
                if not preparing.done() and await self._is_silent():
                    raise TimeoutError("a connection to the database went silent")
        finally:
            if not preparing.done():
                preparing.cancel()
                await asyncio.wait([preparing])
        await preparing

    async def _is_silent(self) -> bool:
        """Whether the server has been waiting for us while we wait for it."""
        pid = self.preparing_pid
        if self.engine.embedded or not pid:
            return False
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S), self.requests.connection() as connection:
                is_idle = await sessions.is_idle(connection, pid, SILENT_S)
        except FAILURES:
            return False
        return is_idle and self.preparing_pid == pid

    def _must_end(self, error: Exception) -> bool:
        # The files of the embedded engine can be exchanged only while the service does not run.
        return self.engine.embedded and isinstance(error, UnfitError)
