"""Follows the bus for channels of the type `events`: what is new becomes deliveries.

Each enabled channel has a cursor in the database. A statement reads the events after it, writes one
delivery for them into the outbox and moves the cursor. So each event is in exactly one delivery of
a channel, whatever ends when. A delivery names its events by number: they are read from the bus
when it is sent, so each try sends the same.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from msgspec import Raw, Struct

from db import queries
from db.queries import Connection
from notifications.delivery import PermanentError
from notifications.message import BusEvent
from notifications.outbox.pacing import GIVE_UP_AFTER

_QUERIES = queries.load(__file__)
BEHIND = _QUERIES["behind"]
FOLLOW = _QUERIES["follow"]
EVENTS = _QUERIES["events"]

EVENTS_MAX = 100
"""In one delivery."""
BYTES_MAX = 1_000_000
"""Of the data of one delivery. An event that is larger goes alone."""
WAITING_MAX = 100
"""Deliveries of a channel that wait; beyond it the events wait on the bus."""
STEPS_MAX = 20
"""In one run, so that what follows the bus does not keep the dispatcher from sending."""

LOST = "the events were more than 24 h old when their turn came; send the delivery again by hand"

log = structlog.get_logger()


class _Cursor(Struct, frozen=True):
    channel_id: int
    seq: int


class _Written(Struct, frozen=True):
    key: str
    events: int
    is_lost: bool


class _Stored(Struct, frozen=True):
    seq: int
    time: datetime
    type: str
    data: str


async def follow(connection: Connection, now: datetime) -> bool:
    """Write deliveries for what is new on the bus; return whether there may be more."""
    for _ in range(STEPS_MAX):
        behind = await queries.rows(connection, _Cursor, BEHIND, waiting_max=WAITING_MAX)
        if not behind:
            return False
        for cursor in behind:
            await _follow(connection, cursor, now)
    return True


async def _follow(connection: Connection, cursor: _Cursor, now: datetime) -> None:
    """Move one cursor. Of two processes that move the same, one finds it moved already."""
    written = await queries.first(
        connection,
        _Written,
        FOLLOW,
        channel_id=cursor.channel_id,
        seq=cursor.seq,
        now=now,
        lost_before=now - GIVE_UP_AFTER,
        lost=LOST,
        events_max=EVENTS_MAX,
        bytes_max=BYTES_MAX,
    )
    if written is not None and written.is_lost:
        log.warning("events_lost", key=written.key, events=written.events)


async def read(connection: Connection, seqs: Sequence[int]) -> tuple[BusEvent, ...]:
    """Return events of the bus in order. Raises PermanentError when it keeps some no longer."""
    found = await queries.rows(connection, _Stored, EVENTS, seqs=list(seqs))
    if len(found) < len(seqs):
        raise PermanentError(
            f"{len(seqs) - len(found)} of {len(seqs)} events are older than what the bus keeps"
        )
    # The data stay text: nothing here reads them.
    return tuple(BusEvent(one.seq, one.type, one.time, Raw(one.data.encode())) for one in found)
