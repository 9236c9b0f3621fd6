"""Calls the watchdog's address when the dispatcher has a canary in its hands."""

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
    """The address answered, and did not take the call."""


NOT_CALLED: tuple[type[Exception], ...] = (EgressError, _RefusedError, *FAILURES)


class Watchdog(Struct, kw_only=True):
    """The address, and how the newest calls went."""

    pool: PoolShare
    egress: Egress
    url: Secret
    now: Callable[[], datetime]
    called_at: datetime | None = None
    last_error: str = ""

    async def claim(self, connection: Connection) -> Canary | None:
        """Return the canary to call for, if there is one."""
        return await canaries.claim(connection, self.now())

    async def call(self, canary: Canary) -> None:
        """Call the address; what fails is tried again until the canary's deadline."""
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
        """Return when the address was called last, and why the newest call failed."""
        return {"called_at": self.called_at, "last_error": self.last_error}

    def _check(self, status: int) -> None:
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise _RefusedError(f"the watchdog answered {status}")
