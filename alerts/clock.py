"""The evaluation clock: one row with the newest evaluated minute. Locking it locks evaluation."""

from datetime import datetime, timedelta

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.limits import SET_BACK_MAX

_QUERIES = queries.load(__file__)
LOCK = _QUERIES["lock"]
READ_CLOCK = _QUERIES["read_clock"]

AHEAD_MAX = timedelta(minutes=2)
"""If the newest minute is this far ahead of the database's clock, a wrong clock evaluated it."""


class PassedError(Exception):
    """The minute is already evaluated, by a replica or before the clock was set back a little.

    Nothing was changed.
    """


class Clock(Struct, frozen=True):
    """The newest evaluated minute, and whether there are composite rules."""

    evaluated_at: datetime | None
    has_composites: bool
    now: datetime
    """The database's time, which all replicas share."""

    def is_past(self, at: datetime) -> bool:
        """Return whether `at` is already evaluated. A newest minute of a wrong clock is ignored."""
        if self.evaluated_at is None or self.evaluated_at > self.now + AHEAD_MAX:
            return False
        return timedelta(0) < self.evaluated_at - at < SET_BACK_MAX


async def lock(connection: Connection) -> Clock:
    """Lock the clock until the transaction ends, so that nobody else changes alerts; return it."""
    [clock] = await queries.rows(connection, Clock, LOCK)
    return clock


async def read_clock(connection: Connection) -> Clock:
    """Return the clock without a lock. `has_composites` is not read and is always False."""
    [clock] = await queries.rows(connection, Clock, READ_CLOCK)
    return clock
