"""The times for which samples are accepted, cached for outages of the database."""

import asyncio
import time
from datetime import datetime, timedelta

import psycopg
import structlog

from api.ingest.admission.parsed_write import AcceptedTimes
from db.queries import Pool
from model.limits import FUTURE_MAX, LATE_MARGIN
from retention import tiers

log = structlog.get_logger()

BELIEVED_S = 5.0
"""How long the answer is cached. It changes once a day, and with the retention."""
TIMEOUT_S = 2.0


class AcceptedTimesCache:
    """Caches from when on the database accepts samples."""

    def __init__(self) -> None:
        self._accepted_from: datetime | None = None
        self._believed_until: float | None = None
        self._asking = asyncio.Lock()

    async def ask(self, pool: Pool, now: datetime) -> None:
        """Ask the database, unless the cached answer is fresh or another task is asking."""
        if self._believed_until is None or not self._asking.locked():
            async with self._asking:
                if time.monotonic() > (self._believed_until or 0.0):
                    await self._ask(pool, now)

    def range(self, keep: timedelta, now: datetime) -> AcceptedTimes:
        """Return the accepted times. Older samples would be dropped before they are rolled up."""
        kept_from = now - keep + LATE_MARGIN
        return AcceptedTimes(max(kept_from, self._accepted_from or kept_from), now + FUTURE_MAX)

    def forget(self) -> None:
        """Drop the cached answer, because the retention was changed."""
        self._believed_until = None

    async def _ask(self, pool: Pool, now: datetime) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S), pool.connection(TIMEOUT_S) as connection:
                self._accepted_from = await tiers.accepted_from(connection, now)
        except (psycopg.OperationalError, TimeoutError) as error:
            log.warning("accepted_times_unknown", error=str(error).strip())
        self._believed_until = time.monotonic() + BELIEVED_S
