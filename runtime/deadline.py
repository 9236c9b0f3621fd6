"""Database connections whose statements end soon after their deadline, even on a silent server."""

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
    """A connection that cancels its statement on the server when the task is cancelled.

    When the statement has not ended after `cancel_timeout_s` seconds, the connection is closed.
    Psycopg's own connection waits up to 5 s for the cancel request and 5 s more for the end of the
    statement.
    """

    cancel_timeout_s: ClassVar[float] = CANCEL_TIMEOUT_S
    _poll: "select.poll | None" = None

    @property
    def has_input(self) -> bool:
        """Whether the server has sent an unrequested message or has closed the connection."""
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
        """Cancel the statement on the server, or close the connection.

        1. Send a cancel request.
        2. Wait for the end of the statement, in the time that is left.
        3. If either step fails or takes too long, close the connection.
        """
        if not self.cancel_timeout_s:
            self.pgconn.finish()
            return
        ends_at = time.monotonic() + self.cancel_timeout_s
        try:
            # Not asyncio.timeout: it raises no TimeoutError in a task that is already cancelled.
            await self.cancel_safe(timeout=self.cancel_timeout_s)
            left_s = max(ends_at - time.monotonic(), interval_s)
            await waiting.wait_async(statement, self.pgconn.socket, interval_s, left_s)
        except psycopg.errors.QueryCanceled:
            return
        except (psycopg.Error, OSError) as error:
            log.warning("statement_abandoned", error=str(error).strip())
            self.pgconn.finish()
        except BaseException:
            # Cancelled a second time: the protocol state of the connection is unknown.
            self.pgconn.finish()
            raise


class ClosingConnection(DeadlineConnection):
    """A connection that is closed at once, without waiting for the server to cancel a statement."""

    cancel_timeout_s = 0.0


def reason_of_database(error: psycopg.Error) -> str:
    """Return the database's error message with the line number, but without the statement's text.

    The text of a statement may contain values that the reader must not see.
    """
    reason = error.diag.message_primary or str(error)
    line = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    return f"line {line[1]}: {reason}" if line else reason
