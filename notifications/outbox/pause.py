"""The pause of everything that goes out: what is decided meanwhile waits in the database.

A restored copy begins with it, so that it does not tell people what the original tells them.
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
"""What is about no alert, such as "your shift begins", helps nobody after that."""


class Pause(Struct, frozen=True, kw_only=True):
    """Whether nothing is sent; `waiting` counts the deliveries that were not sent yet."""

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
    """Send nothing from now on. Raises ConflictError while notifications are paused already."""
    async with connection.transaction():
        if not await queries.run(connection, PAUSE, now=now, actor=actor, reason=reason):
            raise ConflictError("notifications are paused already; resume them to send again")
        await _log(connection, now, audit_log.Type.NOTIFICATIONS_PAUSED, actor, reason)
        return await read(connection)


async def pause_restored(connection: Connection, now: datetime) -> None:
    """Let a database that was made of a backup begin with a pause."""
    async with connection.transaction():
        await queries.run(connection, PAUSE_RESTORED)
        paused = await read(connection)
        actor, reason = paused.paused_by or "", paused.reason or ""
        await _log(connection, now, audit_log.Type.NOTIFICATIONS_PAUSED, actor, reason)


async def resume(connection: Connection, now: datetime, actor: str) -> Pause:
    """Send again. Raises ConflictError while notifications are not paused.

    Alerts that are open are told, each by its newest message. Of those that began and ended during
    the pause nobody hears; whoever was told of one before hears of its end.
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
