"""Deletes what has served its time outside the tiers: events, old alerts, sessions, refusals."""

from datetime import datetime, timedelta

from db import alerts, events, keys, late, security
from db.config import Retention
from db.queries import Pool

REFUSALS_KEPT = timedelta(days=30)
"""They name addresses of people, and others may cause many; changes are kept for ever."""


async def expire(pool: Pool, now: datetime, retention: Retention) -> None:
    """Delete everything that is past its time."""
    async with pool.connection() as connection:
        await events.drop_old(connection, now - timedelta(days=retention.events_days))
        await alerts.drop_old(connection, now - timedelta(days=retention.alerts_days))
        await keys.drop_expired(connection, now)
        await late.drop_old(connection)
        await security.drop_old(connection, now - REFUSALS_KEPT)
