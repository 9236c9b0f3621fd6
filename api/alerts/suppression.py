"""Changes of silences and maintenance windows, which take effect at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alerts.clock import lock
from alerts.suppression import suppress
from api.http.context import AppContext
from api.http.resource import Change
from audit import log as audit_log
from db.pool import LONG_DEADLINE_S
from model.times import utc_now


@asynccontextmanager
async def changing(context: AppContext, actor: str) -> AsyncIterator[Change]:
    """Lend a transaction for a change of suppression, and apply suppression before its commit.

    The lock of the evaluation clock keeps an evaluation from running in between.
    """
    async with context.connect(LONG_DEADLINE_S) as connection, connection.transaction():
        await lock(connection)
        change = Change(context, connection, utc_now(), actor)
        yield change
        await suppress.apply_and_announce(
            connection,
            change.now,
            context.config().all_dependencies(),
            actor,
            context.on_transitions,
        )
    context.announce()


async def log(change: Change, detail: str) -> None:
    """Write a change of a silence or maintenance window to the audit."""
    event = audit_log.Event(
        change.now, audit_log.Type.SUPPRESSION_CHANGED, change.actor, detail=detail
    )
    await audit_log.log(change.connection, event)
