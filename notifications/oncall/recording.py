"""Records who is on call as time passes, and notifies people of hand-overs, in one transaction.

The column `recorded_until` of a schedule says how far both are done. A change of a schedule calls
`catch_up` before it writes, so that past shifts stay as they were. It calls `notify_changes`
afterwards, so that people who come on call or leave because of the change are notified at once.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct, structs

from db.queries import Connection, Pool
from model.errors import NotFoundError
from model.times import micros_of
from notifications.contacts.reaching import Notification, Order, notify
from notifications.message import Event, Kind
from notifications.oncall import schedule_store
from notifications.oncall.handover import INSTANT, Handover, handovers
from notifications.oncall.schedule import Schedule, Shift, to_record


class Recorder(Struct, kw_only=True):
    """Keeps all schedules recorded. Each replica may run one."""

    pool: Pool
    announce: Callable[[], None]
    """Called after a commit that may have written deliveries."""
    reach: Callable[[str], None] = lambda _: None
    """Called at named points. A test ends the process there."""

    async def run(self, now: datetime) -> None:
        """Record all schedules up to a time, each in its own transaction."""
        async with self.pool.connection() as connection:
            for name in await schedule_store.names(connection):
                async with connection.transaction():
                    number = await schedule_store.lock(connection, name)
                    if number is not None:
                        await _catch_up(connection, number, name, now)
                    self.reach("before_commit")
                self.reach("after_commit")
        self.announce()


async def catch_up(connection: Connection, name: str, now: datetime) -> None:
    """Lock a schedule and record it up to now. Raises NotFoundError.

    The change must follow in the same transaction. Then no time lies between the recorded shifts
    and the change.
    """
    number = await schedule_store.lock(connection, name)
    if number is None:
        raise NotFoundError(f"there is no schedule {name[:100]!r}")
    await _catch_up(connection, number, name, now)


async def notify_changes(
    connection: Connection, name: str, now: datetime, *, is_deleted: bool = False
) -> None:
    """Notify the people who come on call or leave because a schedule is changed or deleted."""
    number = await schedule_store.lock(connection, name)
    schedule = await schedule_store.load(connection, name, now, now)
    if number is None or schedule is None or schedule.recorded_until is None:
        return
    # The change takes effect at `recorded_until`, and the shift just before it is recorded. So a
    # hand-over at that time is one that the change caused.
    at = schedule.recorded_until
    if is_deleted:
        schedule = structs.replace(schedule, layers=(), overrides=(), temporary=())
    await _notify(connection, number, schedule, handovers(schedule, at - INSTANT, at), now)


async def _catch_up(connection: Connection, number: int, name: str, now: datetime) -> None:
    schedule = await schedule_store.load(connection, name, now, now)
    if schedule is None or schedule.recorded_until is None or now <= schedule.recorded_until:
        # The clock was set back, or another replica has recorded further.
        return
    # After a long downtime there may be thousands of shifts, which would block the event loop.
    shifts, found = await asyncio.to_thread(_since, schedule, schedule.recorded_until, now)
    await schedule_store.record(connection, number, shifts, now)
    await _notify(connection, number, schedule, found, now)


def _since(
    schedule: Schedule, after: datetime, now: datetime
) -> tuple[list[Shift], list[Handover]]:
    return to_record(schedule, now), handovers(schedule, after, now)


async def _notify(
    connection: Connection,
    number: int,
    schedule: Schedule,
    found: Sequence[Handover],
    now: datetime,
) -> None:
    """Write the messages of hand-overs.

    If a person has several since the last call, only the last one is sent.
    """
    last = {person: each for each in found for person in (*each.leaving, *each.arriving)}
    for each in found:
        for event, people in (
            (Event.SHIFT_ENDED, each.leaving),
            (Event.SHIFT_STARTED, each.arriving),
        ):
            still = [person for person in people if last[person] is each]
            order = Order(key=f"on-call-{number}-{micros_of(each.at)}")
            await notify(connection, _notification(event, schedule, each), still, order, now)


def _notification(event: Event, schedule: Schedule, handover: Handover) -> Notification:
    payload = {
        "schedule": schedule.name,
        "title": schedule.title,
        **{name: getattr(handover, name) for name in ("at", "people", "leaving", "until")},
    }
    return Notification(kind=Kind.ON_CALL, event=event, time=handover.at, payload=payload)
