"""The canary: a sample that passes every stage from the writer to the outbox.

It is written at whole minutes, and its value is its own time. So the value in the 1m tier proves
that the stored sample is the written one. It opens no alert, and no channel gets it.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from alerts.clock import read_clock
from db import queries
from db.queries import Connection
from model.series import Category, Sample, Series

_QUERIES = queries.load(__file__)
ENQUEUE = _QUERIES["enqueue"]
CLAIM = _QUERIES["claim"]
MARK_SENT = _QUERIES["mark_sent"]

SERIES = Series(metric="service_canary", component="server", category=Category.SYSTEM)
EVALUATED_WITHIN = timedelta(minutes=3)
SENT_WITHIN = timedelta(minutes=4)
"""Shorter than the shortest interval, so that an old canary is never taken for the next one."""
TRY_AGAIN_AFTER = timedelta(seconds=15)
ROLLED_UP_AFTER = timedelta(minutes=19)
"""The maintenance runs every five minutes and leaves out the newest ten minutes.

A few more minutes allow for a slow run. So a stopped maintenance shows within ten minutes, which is
two of the shortest intervals.
"""


class Canary(Struct, frozen=True):
    """A canary for which the watchdog is to be called, and the time at which it was written."""

    id: int
    time: datetime


def sample_of(at: datetime) -> Sample:
    """Return the canary of a whole minute, for the writer."""
    return Sample(SERIES, at, at.timestamp())


async def confirm(connection: Connection, at: datetime, now: datetime) -> bool:
    """Write the newest canary that passed all stages to the outbox; return whether there was one.

    Call it after the evaluation of a minute. It returns False if the canary was already there.
    """
    clock = await read_clock(connection)
    if clock.evaluated_at is None or clock.evaluated_at < at:
        return False
    due = at - ROLLED_UP_AFTER
    written = await queries.run(
        connection,
        ENQUEUE,
        metric=SERIES.metric,
        component=SERIES.component,
        at=at,
        since=at - EVALUATED_WITHIN,
        due=due,
        due_since=due - ROLLED_UP_AFTER,
        now=now,
    )
    return written == 1


async def claim(connection: Connection, now: datetime) -> Canary | None:
    """Claim and return a due canary. For TRY_AGAIN_AFTER no other process gets it."""
    return await queries.first(
        connection,
        Canary,
        CLAIM,
        now=now,
        since=now - SENT_WITHIN,
        again_at=now + TRY_AGAIN_AFTER,
    )


async def mark_sent(connection: Connection, canary: Canary, now: datetime, status: int) -> None:
    """Store that the watchdog accepted the call."""
    await queries.run(connection, MARK_SENT, id=canary.id, now=now, status=status)
