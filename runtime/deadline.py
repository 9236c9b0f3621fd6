"""Connections to a database on which a statement ends soon after its deadline, whatever it does."""

import asyncio
import re
import select
import time
from collections.abc import Generator
from typing import Any, ClassVar, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection, waiting
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

log = structlog.get_logger()

CANCEL_TIMEOUT_S = 1.0

RV = TypeVar("RV")


class DeadlineConnection(AsyncConnection[TupleRow]):
    """A connection that asks its server to cancel a statement whose task is cancelled.

    It is closed when the statement has not ended `cancel_timeout_s` (seconds) later. Psycopg's own
    waits 5 s until the server took the request, and 5 s more until it obeyed.
    """

    cancel_timeout_s: ClassVar[float] = CANCEL_TIMEOUT_S
    _poll: "select.poll | None" = None

    @property
    def has_input(self) -> bool:
        """Whether the server has sent something unasked, or has closed its side."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.fileno(), select.POLLIN)
        return self.closed or bool(self._poll.poll(0))

    async def wait(
        self,
        gen: Generator[Any, Any, RV],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 (psycopg's name)
    ) -> RV:
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=timeout
            )
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await self._end(gen, interval)
            raise

    async def _end(self, statement: Generator[Any, Any, Any], interval_s: float) -> None:
        """Have the server cancel what runs, or close the connection."""
        if not self.cancel_timeout_s:
            self.pgconn.finish()
            return
        ends_at = time.monotonic() + self.cancel_timeout_s
        try:
            # Not asyncio.timeout: in a task that is cancelled already it raises no TimeoutError.
            await self.cancel_safe(timeout=self.cancel_timeout_s)
            left_s = max(ends_at - time.monotonic(), interval_s)
            await waiting.wait_async(statement, self.pgconn.socket, interval_s, left_s)
        except psycopg.errors.QueryCanceled:
            return
        except (psycopg.Error, OSError) as error:
            log.warning("statement_abandoned", error=str(error).strip())
            self.pgconn.finish()
        except BaseException:
            # Cancelled again: what the connection was in the midst of is not known.
            self.pgconn.finish()
            raise


class ClosingConnection(DeadlineConnection):
    """A connection that is closed at once: nothing waits for its server to cancel the statement."""

    cancel_timeout_s = 0.0


def reason_of_database(error: psycopg.Error) -> str:
    """Say what the database said, with the line of the statement but none of its text."""
    reason = error.diag.message_primary or str(error)
    line = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    return f"line {line[1]}: {reason}" if line else reason
