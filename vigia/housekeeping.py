"""Deletes expired rows outside the tiers: events, alerts, deliveries, sessions, refusals."""

from datetime import datetime, timedelta

from accounts import sessions as keys
from alerts import store as alerts
from alerts.preview import coverage
from audit import log as audit_log
from config.model import Retention
from db.queries import Pool
from events import bus
from notifications import link_store
from notifications.outbox import deliveries

REFUSALS_KEPT = timedelta(days=30)
"""Refusals contain addresses of people, and anybody can cause many. Changes are kept for ever."""

DELIVERIES_KEPT = timedelta(days=90)


async def expire(pool: Pool, now: datetime, retention: Retention) -> None:
    """Delete all expired rows."""
    async with pool.connection() as connection:
        await bus.drop_old(connection, now - timedelta(days=retention.events_days))
        await alerts.drop_old(connection, now - timedelta(days=retention.alerts_days))
        await deliveries.drop_old(connection, now - DELIVERIES_KEPT)
        await link_store.drop_expired(connection, now)
        await keys.drop_expired(connection, now)
        await coverage.drop_old(connection)
        await audit_log.drop_old(connection, now - REFUSALS_KEPT)
