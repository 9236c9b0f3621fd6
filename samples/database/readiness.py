"""Whether the service is ready: its database is the right one and accepts a write."""

import asyncio
import time
from collections.abc import Callable

import psycopg

from db.failures import describe
from db.queries import Pool
from model.errors import DomainError
from samples.database.incarnation import try_write

TRY_TIMEOUT_S = 2.0
CHECKOUT_TIMEOUT_S = 1.5
FRESH_S = 1.0
"""The seconds for which an answer is reused, so that probes cost the database at most one write a
second."""


class Readiness:
    """Tries a write. All callers within a second share one answer.

    The write runs in its own task, so that a cancelled caller does not cancel it for the others.
    """

    def __init__(self, pool: Pool, writer_cause: Callable[[], str]) -> None:
        """`writer_cause` returns why samples cannot be stored, or "" if they can."""
        self._pool = pool
        self._writer_cause = writer_cause
        self._trying: asyncio.Task[None] | None = None
        self._answered_at = -FRESH_S
        self._cause = ""

    async def cause(self) -> str:
        """Return why the service is not ready, for an operator, or "" if it is ready."""
        if cause := self._writer_cause():
            return cause
        if time.monotonic() - self._answered_at < FRESH_S:
            return self._cause
        if self._trying is None:
            self._trying = asyncio.create_task(self._try(), name="readiness")
        try:
            # The cancelled write may take longer to end, but a probe must answer within 2 seconds.
            async with asyncio.timeout(TRY_TIMEOUT_S):
                await asyncio.shield(self._trying)
        except TimeoutError as error:
            self._answer(describe(error))
        return self._cause

    async def _try(self) -> None:
        try:
            # Shorter than the whole try, so that a busy pool is reported as such.
            checkout = self._pool.connection(CHECKOUT_TIMEOUT_S)
            async with asyncio.timeout(TRY_TIMEOUT_S), checkout as connection:
                await try_write(connection)
            self._answer("")
        except (psycopg.Error, DomainError, TimeoutError) as error:
            self._answer(describe(error))
        finally:
            self._trying = None

    def _answer(self, cause: str) -> None:
        self._cause, self._answered_at = cause, time.monotonic()
