"""The start of the service: waits for its database, and prepares it."""

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
"""Deadline of the first response on the connection that prepares the database."""
SILENT_S = 1.5
"""If the server has been idle in the preparing session for this long, its response is lost."""
GRACE_S = 30.0
"""How long a final error may last: a server may still be creating the database or the role."""
HAS_BEGUN = "has-begun"
"""A file in the data directory, created once a service with this directory had a database."""
FINAL = re.compile(
    "password authentication failed|no password supplied|no pg_hba.conf entry"
    '|(database|role) "[^"]*" does not exist'
)
"""PostgreSQL's messages for errors that only an operator can fix. They are in the language of the
server; in other languages they are not recognized, and the start waits."""


class Start(Struct, kw_only=True):
    """Prepares the database, and tries again until it succeeds; then `is_complete` is set."""

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
    """Why the last attempt failed, for an operator. The cause of the pool takes precedence."""
    preparing_pid: int = 0
    """The server process of the session that prepares the database; 0 if there is none."""

    @property
    def obstacle(self) -> str:
        """Why the database cannot be queried yet; empty once it is prepared."""
        if self.is_complete:
            return ""
        away = f"the database is away: {self.pool.cause}" if self.pool.cause else ""
        cause = away or self.cause or "its database is being prepared"
        return f"the service is still starting; {cause}"

    async def run(self, grace_s: float = GRACE_S) -> None:
        """Prepare the database as soon as it answers and accepts writes.

        Raises AwayError if an error that only an operator can fix lasts for `grace_s`. Raises
        MigrationError at once if the database has another version, and other errors if the
        database will never accept the writes of the start.
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
        """Prepare the database. May be repeated after a failure.

        1. Refuse a database that is being restored, or an empty one while samples are spooled.
        2. Run migrations.
        3. Learn the identity of the database, apply the settings, and add built-in rules.
        4. Load the series into the writer.
        """
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
        """Publish the server process of a connection, so that `_is_silent` can observe it."""
        async with asyncio.timeout(FIRST_ANSWER_S):
            self.preparing_pid = await sessions.own_pid(connection)
        try:
            yield
        finally:
            self.preparing_pid = 0

    async def _try(self) -> str:
        """Try to prepare; return the cause of a temporary failure, or an empty text."""
        try:
            await self._prepare_watched()
        except FAILURES as error:
            if failure_of(error) is Failure.REFUSED or self._must_end(error):
                raise
            cause = describe(error)
            # The pool has the cause of a failed connection, and clears it itself.
            self.cause = "" if isinstance(error, AwayError) else cause
            return cause
        return ""

    async def _prepare_watched(self) -> None:
        """Prepare. Raises TimeoutError if the server's responses do not arrive.

        A proxy may keep a connection open after its other end is gone. A plain timeout does not
        work, because a migration may take long or wait for a lock. Therefore another connection
        checks whether the server is still working.
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
        """Return whether the server is idle in the session on which we wait for a response."""
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
        # The files of the embedded engine can be replaced only while the service does not run.
        return self.engine.embedded and isinstance(error, UnfitError)
