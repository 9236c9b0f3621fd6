"""The clock of evaluations: which minute was evaluated last, and a lock for those that follow."""

from datetime import datetime, timedelta

from msgspec import Struct

from db import queries
from db.queries import Connection
from model.limits import SET_BACK_MAX

_QUERIES = queries.load(__file__)
LOCK = _QUERIES["lock"]
READ_CLOCK = _QUERIES["read_clock"]

AHEAD_MAX = timedelta(minutes=2)
"""A newest minute so far ahead of the database's clock was evaluated by a clock that was wrong."""


class PassedError(Exception):
    """Another replica was faster, or the clock was set back a little; nothing was changed."""


class Clock(Struct, frozen=True):
    """The newest minute that was evaluated; and whether there are rules over rules."""

    evaluated_at: datetime | None
    has_composites: bool
    now: datetime
    """By the database, which all replicas share."""

    def is_past(self, at: datetime) -> bool:
        """Whether a minute is over; not when the newest one is of a clock that was wrong."""
        if self.evaluated_at is None or self.evaluated_at > self.now + AHEAD_MAX:
            return False
        return timedelta(0) < self.evaluated_at - at < SET_BACK_MAX


async def lock(connection: Connection) -> Clock:
    """Let nobody else change alerts before this transaction ends; return the newest minute."""
    [clock] = await queries.rows(connection, Clock, LOCK)
    return clock


async def read_clock(connection: Connection) -> Clock:
    """Return the newest minute, and what time it is; holds nobody up."""
    [clock] = await queries.rows(connection, Clock, READ_CLOCK)
    return clock
