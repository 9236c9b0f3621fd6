"""Pauses all sending. Deliveries that are written during a pause wait in the database.

A restored copy starts paused, so that it does not repeat the notifications of the original.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from audit import log as audit_log
from db import queries
from db.queries import Connection
from model.errors import ConflictError

_QUERIES = queries.load(__file__)
READ = _QUERIES["read"]
PAUSE = _QUERIES["pause"]
PAUSE_RESTORED = _QUERIES["pause_restored"]
RESUME = _QUERIES["resume"]
SKIP_OUTDATED = _QUERIES["skip_outdated"]
LEAVE_GROUPS = _QUERIES["leave_groups"]
BEGIN_ANEW = _QUERIES["begin_anew"]

OLD_AFTER = timedelta(hours=1)
"""Messages that concern no alert, such as "your shift begins", are useless after this time."""


class Pause(Struct, frozen=True, kw_only=True):
    """Whether sending is paused. `waiting` counts the deliveries that were not sent yet."""

    paused: bool
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    waiting: int


async def read(connection: Connection) -> Pause:
    """Return whether notifications are paused, since when, and by whom."""
    [found] = await queries.rows(connection, Pause, READ)
    return found


async def pause(connection: Connection, now: datetime, actor: str, reason: str) -> Pause:
    """Pause all sending. Raises ConflictError if notifications are already paused."""
    async with connection.transaction():
        if not await queries.run(connection, PAUSE, now=now, actor=actor, reason=reason):
            raise ConflictError("notifications are paused already; resume them to send again")
        await _log(connection, now, audit_log.Type.NOTIFICATIONS_PAUSED, actor, reason)
        return await read(connection)


async def pause_restored(connection: Connection, now: datetime) -> None:
    """Pause a database that was restored from a backup."""
    async with connection.transaction():
        await queries.run(connection, PAUSE_RESTORED)
        paused = await read(connection)
        actor, reason = paused.paused_by or "", paused.reason or ""
        await _log(connection, now, audit_log.Type.NOTIFICATIONS_PAUSED, actor, reason)


async def resume(connection: Connection, now: datetime, actor: str) -> Pause:
    """End the pause. Raises ConflictError if notifications are not paused.

    For each open alert only the newest message is sent. For an alert that opened and resolved
    during the pause nothing is sent. An address that was notified of an alert before the pause is
    notified that it resolved.
    """
    async with connection.transaction():
        if not await queries.run(connection, RESUME):
            raise ConflictError("notifications are not paused; there is nothing to resume")
        skipped = await queries.run(connection, SKIP_OUTDATED, old=now - OLD_AFTER)
        await queries.run(connection, LEAVE_GROUPS)
        await queries.run(connection, BEGIN_ANEW, now=now)
        resumed = await read(connection)
        detail = f"{resumed.waiting} to send, {skipped} skipped"
        await _log(connection, now, audit_log.Type.NOTIFICATIONS_RESUMED, actor, detail)
    return resumed


async def _log(
    connection: Connection, now: datetime, kind: audit_log.Type, actor: str, detail: str
) -> None:
    await audit_log.log(connection, audit_log.Event(now, kind, actor, detail=detail))
