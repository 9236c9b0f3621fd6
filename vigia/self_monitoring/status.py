"""The status of the service, and the samples that it stores about itself."""

from datetime import datetime

from audit import counting
from model.series import Sample, Series
from runtime import log
from vigia.service import Service

QUARANTINED = Series(metric="service_spool_quarantined_records", component="server")


def status_of(service: Service) -> dict[str, object]:
    """Return the status of every part, for `/dev/status`."""
    writer, live = service.writer, service.live
    return {
        "engine": {"embedded": service.engine.embedded, "restarts": service.engine.restarts},
        "services": list(service.slot_stats.values()),
        "writer": {
            "stored": writer.stored,
            "pending": writer.pending,
            "dropped": writer.dropped,
        },
        "spool": service.spool.status(),
        "live": {
            "clients": live.clients,
            "lagged": live.lagged,
            "dead": live.dead,
            "skipped": live.skipped,
        },
        "event_loop": service.loop_lag.status(),
        "subscribers": {one.name: one.dropped for one in service.subscribers.subscribers},
        "pool": service.pool.get_stats(),
        "requests_pool": service.requests.get_stats(),
        "sql_rules": {"lingering": service.sql_rules.lingering},
        "evaluation": service.evaluations.lag.status(),
        "missed_checks": len(service.monitor.missed.slots),
        "watchdog": service.dispatcher.watchdog and service.dispatcher.watchdog.status(),
        "log": {"lines_lost": log.lost.lines},
    }


async def measure(service: Service, at: datetime) -> None:
    """Store the maximum loop lag since the previous slot, and the size of the quarantine."""
    quarantined = Sample(QUARANTINED, at, service.spool.quarantined)
    service.writer.put([service.loop_lag.sample(at), quarantined])


async def count_security(service: Service, at: datetime) -> None:
    """Store and publish counts of new audit entries, for rules, clients and subscribers."""
    async with service.pool.connection() as connection:
        samples = await counting.count(connection, at)
    service.live.publish(samples)
