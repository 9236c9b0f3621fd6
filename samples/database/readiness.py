"""Whether the service can do what it promises: its database is ours, and takes a write."""

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
"""How long an answer stands, so that no number of probes costs the database more than one a
second."""


class Readiness:
    """Tries a write for whoever asks; all who ask within a second share the answer.

    A try is a task of its own: who stops asking does not end it for the others.
    """

    def __init__(self, pool: Pool, writer_cause: Callable[[], str]) -> None:
        """`writer_cause` says why samples cannot be stored; empty when they can."""
        self._pool = pool
        self._writer_cause = writer_cause
        self._trying: asyncio.Task[None] | None = None
        self._answered_at = -FRESH_S
        self._cause = ""

    async def cause(self) -> str:
        """Return why the service is not ready, for an operator; empty when it is."""
        if cause := self._writer_cause():
            return cause
        if time.monotonic() - self._answered_at < FRESH_S:
            return self._cause
        if self._trying is None:
            self._trying = asyncio.create_task(self._try(), name="readiness")
        try:
            # What is given up may take longer to end: two seconds are all that a probe has.
            async with asyncio.timeout(TRY_TIMEOUT_S):
                await asyncio.shield(self._trying)
        except TimeoutError as error:
            self._answer(describe(error))
        return self._cause

    async def _try(self) -> None:
        try:
            # A pool that is only busy says so before the whole try is given up.
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
