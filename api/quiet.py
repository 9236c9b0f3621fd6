"""Whoever changes what holds alerts back does it here, so that it acts at once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from api.database import LONG_DEADLINE_S
from api.parts import Parts
from db import alerts, events, holds, security
from db.evaluation import lock
from db.queries import Connection
from vigia.model import utc_now


@asynccontextmanager
async def changing(parts: Parts, actor: str) -> AsyncIterator[tuple[Connection, datetime]]:
    """Lend a connection in a transaction at whose end alerts are held as they then should be."""
    async with parts.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        await lock(connection)
        now = utc_now()
        yield connection, now
        await settle(parts, connection, now, actor)
    parts.announce()


async def tell(connection: Connection, now: datetime, actor: str, detail: str) -> None:
    """Write to the audit what was changed of a silence or a window."""
    event = security.Event(now, security.Type.QUIET_CHANGED, actor, detail=detail)
    await security.log(connection, event)


async def settle(
    parts: Parts, connection: Connection, now: datetime, actor: str, ids: Sequence[int] = ()
) -> None:
    """Hold back what should be now, and tell of that and of the alerts with these ids."""
    steps = await holds.settle(connection, now, parts.config().ancestors(), actor)
    changed = await alerts.read(connection, [*ids, *(step.alert_id for step in steps)])
    if changed:
        await events.append(connection, now, alerts.news(changed))
