"""The periodic tasks of a replica, by role, and when each runs."""

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from alerts.rules.model import SQL_RULE_LEAD_S
from collectors.built_in import all_collectors
from collectors.collector import collect_every
from collectors.probes.probes import probe_every
from collectors.scrape.scrape import Scrapes, scrape_every
from collectors.sql_files.collector import TRADING, collect_files_every, components
from collectors.trading.trading import collect_demo_every, trading
from config.actions import BACKUP, WEBHOOK
from config.model import BUILT_IN
from notifications.oncall.recording import Recorder
from notifications.routing.planner import Planner
from notifications.watchdog.canary import sample_of
from retention.jobs import Jobs
from runtime.schedule import SlotStats, every
from vigia.housekeeping import expire
from vigia.self_monitoring.status import count_security, measure
from vigia.service import Service
from vigia.transitions import ON_TRANSITIONS

Services = dict[str, Coroutine[Any, Any, None]]

EVALUATE_EVERY_S, EVALUATE_AFTER_S = 60.0, 5.0
"""Rules are evaluated for whole minutes, shortly after their end, when the samples are stored."""
ASK_AFTER_S = EVALUATE_EVERY_S - SQL_RULE_LEAD_S
"""SQL rules run in the middle of a minute, so that their results are stored at its evaluation."""
CHECK_AFTER_S = 3.0
SECURITY_EVERY_S, COUNT_AFTER_S = 15.0, 1.0
"""After refusals before the slot are written, and before rules are evaluated."""
RECORD_EVERY_S = 60.0
"""Hand-overs happen at whole minutes, and people are notified at once."""
JOBS_EVERY_S, JOBS_AFTER_S, JOBS_DEADLINE_S = 15.0, 8.0, 600.0
ACT_EVERY_S, ACT_DEADLINE_S = 5.0, 6 * 3600.0
"""Actions that alerts have started: a backup may take hours."""
HOSTS_EVERY_S, HOSTS_AFTER_S = 15.0, 12.0
JUDGE_AFTER_S = HOSTS_AFTER_S + 1.0
"""Silence is judged after the seen hosts are written, and just before rules are evaluated."""
PLAN_EVERY_S, PLAN_DEADLINE_S = 1.0, 60.0
CONFIG_EVERY_S = 10.0
RENEW_EVERY_S = 10.0
"""A copy of the database that is older than this is recognized as a copy."""
EXPIRE_EVERY_S = 3600.0


def everyones(service: Service) -> Services:
    """Return the tasks that every replica runs."""
    return {
        "writer": service.writer.run(),
        "spool": service.writer.drain_spool(),
        "live": service.live.run(),
        "subscribers": service.subscribers.run(),
        "loop lag": service.loop_lag.run(),
        "refusals": every(
            lambda: SECURITY_EVERY_S,
            lambda _: service.refusals.flush(service.pool),
            service.counted("refusals"),
        ),
        "incarnation": every(
            lambda: RENEW_EVERY_S,
            lambda _: service.incarnations.renew(service.pool),
            service.counted("incarnation"),
        ),
        "hosts seen": every(
            lambda: HOSTS_EVERY_S,
            service.hosts.write,
            service.counted("hosts seen"),
            offset_s=HOSTS_AFTER_S,
        ),
        "config": every(lambda: CONFIG_EVERY_S, service.config.follow, service.counted("config")),
    }


def collectors(service: Service) -> Services:
    """Return one task for each collector, so that none delays another."""

    def interval_s() -> float:
        return service.config.value.intervals.collect_s

    services: Services = {
        (name := f"collect {c.name}"): collect_every(
            interval_s, c, service.writer.put, service.counted(name)
        )
        for c in all_collectors(service.pool)
    }
    services["collect external"] = probe_every(
        interval_s,
        lambda: service.config.value.targets,
        service.egress,
        service.writer.put,
        service.counted("collect external"),
    )
    services["collect scrapes"] = scrape_every(
        interval_s,
        lambda: service.config.value.scrapes,
        Scrapes(service.egress, service.settings.data_dir / "secrets", service.writer.put),
        service.counted("collect scrapes"),
    )
    services["collect itself"] = every(
        interval_s, partial(measure, service), service.counted("collect itself")
    )
    if service.settings.watchdog_url is not None:
        services["canary"] = every(
            lambda: service.settings.watchdog_interval_s,
            partial(put_canary, service),
            service.counted("canary"),
        )
    return services | _sql_collectors(service, interval_s)


async def put_canary(service: Service, at: datetime) -> None:
    """Begin the way of a canary."""
    service.writer.put([sample_of(at)])


def _sql_collectors(service: Service, interval_s: Callable[[], float]) -> Services:
    """Return tasks for folders of SQL files, and for trading: of the platform or the demo."""
    settings, put = service.settings, service.writer.put
    folder = settings.data_dir / "sql"
    taken = {*BUILT_IN, *(target.name for target in service.config.value.outside)}
    found = components(folder, taken, put)
    services: Services = {}
    if settings.trading_database_url is not None:
        found.append(trading(settings.trading_database_url, folder / TRADING, put))
    else:
        name = f"collect {TRADING}"
        services[name] = collect_demo_every(
            interval_s, service.engine.dsn, put, service.counted(name)
        )
    return services | {
        (name := f"collect {c.name}"): collect_files_every(interval_s, c, service.counted(name))
        for c in found
    }


def evaluators(service: Service) -> Services:
    """Return the tasks that evaluate rules and check health."""
    alerts, health = service.counted("alerts"), service.counted("health")
    return {
        "alerts": every(
            lambda: EVALUATE_EVERY_S, service.evaluations.run, alerts, offset_s=EVALUATE_AFTER_S
        ),
        "sql rules": every(
            lambda: EVALUATE_EVERY_S,
            service.sql_rules.run,
            service.counted("sql rules"),
            offset_s=ASK_AFTER_S,
        ),
        "health": every(
            lambda: service.config.value.intervals.health_s,
            service.monitor.run,
            health,
            offset_s=CHECK_AFTER_S,
        ),
        "hosts": every(
            lambda: HOSTS_EVERY_S,
            lambda at: service.hosts.judge(at + timedelta(seconds=JUDGE_AFTER_S)),
            service.counted("hosts"),
            offset_s=JUDGE_AFTER_S,
        ),
        "security": every(
            lambda: SECURITY_EVERY_S,
            partial(count_security, service),
            service.counted("security"),
            offset_s=COUNT_AFTER_S,
        ),
    }


def senders(service: Service) -> Services:
    """Return the tasks that notify people."""
    planner = Planner(pool=service.pool, announce=service.announce, on_transitions=ON_TRANSITIONS)
    recorder = Recorder(pool=service.pool, announce=service.announce)
    return {
        "deliveries": service.dispatcher.run(),
        "planner": every(
            lambda: PLAN_EVERY_S,
            planner.run,
            service.counted("planner"),
            deadline_s=PLAN_DEADLINE_S,
        ),
        "on call": every(lambda: RECORD_EVERY_S, recorder.run, service.counted("on call")),
        "replies": service.listeners.run(),
        "webhook actions": every(
            lambda: ACT_EVERY_S,
            service.actions[WEBHOOK].run,
            SlotStats(name="webhook actions"),
            deadline_s=ACT_DEADLINE_S,
        ),
    }


def keepers(service: Service) -> Services:
    """Return the tasks that maintain the database."""
    services: Services = {
        "expire": every(
            lambda: EXPIRE_EVERY_S,
            lambda now: expire(service.pool, now, service.config.value.retention),
            service.counted("expire"),
        ),
        "backup actions": every(
            lambda: ACT_EVERY_S,
            service.actions[BACKUP].run,
            # Not among the counted ones: a backup that takes minutes would miss slots by design.
            SlotStats(name="backup actions"),
            deadline_s=ACT_DEADLINE_S,
        ),
    }
    if service.engine.embedded:
        services["jobs"] = every(
            lambda: JOBS_EVERY_S,
            Jobs(service.pool).run,
            service.counted("jobs"),
            offset_s=JOBS_AFTER_S,
            deadline_s=JOBS_DEADLINE_S,
        )
    return services
