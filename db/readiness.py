"""Whether the service can do what it promises: its database is ours, and takes a write."""

import asyncio
import time
from collections.abc import Callable

import psycopg

from db.failures import describe
from db.incarnation import try_write
from db.queries import Pool
from vigia.model import DomainError

TRY_TIMEOUT_S = 2.0
FRESH_S = 1.0
"""How long an answer stands, so that no number of probes costs the database more than one a
second."""


class Readiness:
    """Tries a write for whoever asks; all who ask within a second share the answer."""

    def __init__(self, pool: Pool, writer_cause: Callable[[], str]) -> None:
        """`writer_cause` says why samples cannot be stored; empty when they can."""
        self._pool = pool
        self._writer_cause = writer_cause
        self._lock = asyncio.Lock()
        self._tried_at = -FRESH_S
        self._cause = ""

    async def cause(self) -> str:
        """Return why the service is not ready, for an operator; empty when it is."""
        if cause := self._writer_cause():
            return cause
        try:
            # The wait for another's try counts as well: two seconds are all that a probe has.
            async with asyncio.timeout(TRY_TIMEOUT_S), self._lock:
                if time.monotonic() - self._tried_at >= FRESH_S:
                    self._cause = await self._try()
                    self._tried_at = time.monotonic()
                return self._cause
        except TimeoutError as error:
            return describe(error)

    async def _try(self) -> str:
        try:
            async with self._pool.connection() as connection:
                await try_write(connection)
        except (psycopg.Error, DomainError) as error:
            return describe(error)
        return ""
