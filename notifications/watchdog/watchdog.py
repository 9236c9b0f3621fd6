"""Calls the URL of the watchdog when the dispatcher has claimed a canary."""

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

import structlog
from msgspec import Struct

from db.failures import FAILURES
from db.queries import Connection
from notifications.outbox.pool_share import PoolShare
from notifications.watchdog import canary as canaries
from notifications.watchdog.canary import Canary
from runtime.network.egress import Egress, EgressError, Trace
from runtime.settings import Secret

log = structlog.get_logger()

TIMEOUT_S = 10.0


class _RefusedError(Exception):
    """The watchdog answered, but with an error status."""


NOT_CALLED: tuple[type[Exception], ...] = (EgressError, _RefusedError, *FAILURES)


class Watchdog(Struct, kw_only=True):
    """The URL of the watchdog, and the result of the newest calls."""

    pool: PoolShare
    egress: Egress
    url: Secret
    now: Callable[[], datetime]
    called_at: datetime | None = None
    last_error: str = ""

    async def claim(self, connection: Connection) -> Canary | None:
        """Claim a canary to call for. None: there is none."""
        return await canaries.claim(connection, self.now())

    async def call(self, canary: Canary) -> None:
        """Call the URL. A failed call is tried again until the canary is too old."""
        trace = Trace()
        try:
            await self.egress.ask(self.url.reveal(), trace, timeout_s=TIMEOUT_S)
            self._check(trace.status)
            async with self.pool.connection() as connection:
                await canaries.mark_sent(connection, canary, self.now(), trace.status)
        except NOT_CALLED as error:
            self.last_error = str(error)
            log.warning("watchdog_not_called", reason=self.last_error)
            return
        self.called_at, self.last_error = self.now(), ""

    def status(self) -> dict[str, object]:
        """Return the time of the last successful call, and the error of the newest call."""
        return {"called_at": self.called_at, "last_error": self.last_error}

    def _check(self, status: int) -> None:
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _RefusedError(f"the watchdog answered {status}")
