"""Brings the database to the wanted state; run at every start and on every change."""

import structlog

from config.model import Retention
from db.queries import Connection
from retention import tiers
from retention.plan import plan

log = structlog.get_logger()


async def apply(connection: Connection, retention: Retention) -> list[str]:
    """Change what differs, in one transaction, and return the names of the tiers that did."""
    async with connection.transaction():
        changed = [w.name for w in plan(retention) if await tiers.want(connection, w)]
        await tiers.register_job(connection)
    if changed:
        log.info("retention_applied", tiers=changed)
    return changed
