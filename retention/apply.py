"""Applies the retention settings to the database, at every start and after every change."""

import structlog

from config.model import Retention
from db.queries import Connection
from retention import tiers
from retention.plan import plan

log = structlog.get_logger()


async def apply(connection: Connection, retention: Retention) -> list[str]:
    """Update the tiers that differ, in one transaction, and return their names."""
    async with connection.transaction():
        changed = [w.name for w in plan(retention) if await tiers.want(connection, w)]
        await tiers.register_job(connection)
    if changed:
        log.info("retention_applied", tiers=changed)
    return changed
