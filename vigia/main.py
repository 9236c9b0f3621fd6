"""Builds every part and runs them together; the only module that knows them all."""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from api.app import create_app
from api.live import Live
from api.server import listen, serve
from api.websocket import routes
from litestar import Litestar
from msgspec import Struct

from alerts.evaluate import add_shipped_rules, evaluate
from api.auth import Authenticator
from api.parts import Parts
from collectors import all_collectors
from collectors.collector import collect_every
from db.config import Config, read
from db.engine import Engine, open_engine
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Pool
from db.writer import Writer, open_writer
from health.checks import check
from retention.apply import apply
from retention.expire import expire
from retention.jobs import Jobs
from vigia.greeting import greet
from vigia.schedule import Slots, every
from vigia.settings import Settings

log = structlog.get_logger()

EVALUATE_EVERY_S, EVALUATE_AFTER_S = 60.0, 5.0
"""Rules look at whole minutes, once their samples are in."""
CHECK_AFTER_S = 3.0
JOBS_EVERY_S, JOBS_AFTER_S = 15.0, 8.0
JOBS_DEADLINE_S = 600.0
CONFIG_EVERY_S = 10.0
EXPIRE_EVERY_S = 3600.0


class Service(Struct):
    """The parts, and the turns that need several of them."""

    settings: Settings
    engine: Engine
    pool: Pool
    writer: Writer
    live: Live
    config: Config
    slots: dict[str, Slots]
    is_ready: bool = False

    def counted(self, name: str) -> Slots:
        """Return the slots of a service, which its status shows."""
        return self.slots.setdefault(name, Slots(name=name))

    async def evaluate_rules(self, at: datetime) -> None:
        async with self.pool.connection() as connection:
            if await evaluate(connection, at, self.config.thresholds_document()):
                self.live.ring()

    async def check_health(self, at: datetime) -> None:
        interval_s = self.config.intervals.health_s
        async with self.pool.connection() as connection:
            if await check(connection, at, interval_s, self.config.thresholds_document()):
                self.live.ring()

    async def follow_config(self, _: datetime) -> None:
        async with self.pool.connection() as connection:
            self.config = await read(connection)
            await apply(connection, self.config.retention)

    def status(self) -> dict[str, object]:
        return {
            "engine": {"embedded": self.engine.embedded, "restarts": self.engine.restarts},
            "services": list(self.slots.values()),
            "writer": {
                "stored": self.writer.stored,
                "pending": self.writer.pending,
                "dropped": self.writer.dropped,
            },
            "pool": self.pool.get_stats(),
        }


async def main(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Contexts close upwards, so what was collected is stored."""
    stop = _stop_requested()
    async with _open(settings) as service, asyncio.TaskGroup() as group:
        tasks = [group.create_task(s, name=n) for n, s in _services(service).items()]
        service.is_ready = True
        await greet(service.pool, settings)
        await stop.wait()
        log.info("stopping")
        for task in tasks:
            task.cancel()
    log.info("stopped")


def _stop_requested() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Service]:
    async with (
        open_engine(settings) as engine,
        open_pool(engine.dsn, embedded=engine.embedded) as pool,
    ):
        async with pool.connection() as connection:
            await migrate(connection)
            config = await read(connection)
            await apply(connection, config.retention)
            await add_shipped_rules(connection)
        live = Live(pool)
        async with open_writer(pool, live.publish) as writer:
            yield Service(settings, engine, pool, writer, live, config, {})


def _services(service: Service) -> dict[str, Coroutine[Any, Any, None]]:
    """Return every service of this replica's roles by name; the writer and live serve them all."""
    roles = service.settings.roles
    services = {"writer": service.writer.run(), "live": service.live.run()}
    services["config"] = every(
        lambda: CONFIG_EVERY_S, service.follow_config, service.counted("config")
    )
    if "api" in roles:
        services["http"] = serve(_app(service), listen(service.settings))
    if "collect" in roles:
        services |= _collectors(service)
    if "alert" in roles:
        services |= _judges(service)
    if "retain" in roles:
        services |= _keepers(service)
    return services


def _app(service: Service) -> Litestar:
    def set_config(config: Config) -> None:
        service.config = config

    auth = Authenticator(service.pool, service.settings)
    parts = Parts(
        pool=service.pool,
        settings=service.settings,
        auth=auth,
        write=service.writer.write,
        announce=service.live.ring,
        config=lambda: service.config,
        set_config=set_config,
        status=service.status,
        ready=lambda: service.is_ready,
    )
    return create_app(parts, routes(service.live, auth))


def _collectors(service: Service) -> dict[str, Coroutine[Any, Any, None]]:
    return {
        f"collect {c.name}": collect_every(
            lambda: service.config.intervals.collect_s,
            c,
            service.writer.put,
            service.counted(f"collect {c.name}"),
        )
        for c in all_collectors(service.pool)
    }


def _judges(service: Service) -> dict[str, Coroutine[Any, Any, None]]:
    return {
        "alerts": every(
            lambda: EVALUATE_EVERY_S,
            service.evaluate_rules,
            service.counted("alerts"),
            offset_s=EVALUATE_AFTER_S,
        ),
        "health": every(
            lambda: service.config.intervals.health_s,
            service.check_health,
            service.counted("health"),
            offset_s=CHECK_AFTER_S,
        ),
    }


def _keepers(service: Service) -> dict[str, Coroutine[Any, Any, None]]:
    async def expire_rows(now: datetime) -> None:
        await expire(service.pool, now, service.config.retention)

    services = {
        "expire": every(lambda: EXPIRE_EVERY_S, expire_rows, service.counted("expire")),
    }
    if service.engine.embedded:
        services["jobs"] = every(
            lambda: JOBS_EVERY_S,
            Jobs(service.pool).turn,
            service.counted("jobs"),
            offset_s=JOBS_AFTER_S,
            deadline_s=JOBS_DEADLINE_S,
        )
    return services
