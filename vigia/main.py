"""Builds every part and runs them together; with the service's parts, it alone knows them all."""

import asyncio
import signal
import sys

import structlog

from vigia.greeting import greet
from vigia.http import port_of, serving
from vigia.service import Service, open_parts
from vigia.settings import Settings
from vigia.start import begin
from vigia.turns import Services, collectors, everyones, judges, keepers

log = structlog.get_logger()

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that decodes a body may hold up everyone else: Python's 5 ms add up, since the
loop needs its turn several times for each statement."""


async def main(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. A service that crashes ends them all, in the same order."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    started, stop = asyncio.Event(), asyncio.Event()
    this = asyncio.current_task()

    def request_stop() -> None:
        stop.set()
        if this is not None and not started.is_set():
            # A start may take minutes, when the engine replays its log: it is not waited for.
            this.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, request_stop)
    try:
        await _run(settings, started, stop)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    log.info("stopped")


async def _run(settings: Settings, started: asyncio.Event, stop: asyncio.Event) -> None:
    with port_of(settings) as listener:
        async with open_parts(settings) as service, serving(service, listener) as server:
            await begin(service)
            async with asyncio.TaskGroup() as group:
                services = _services(service, server)
                tasks = [group.create_task(run, name=name) for name, run in services.items()]
                service.is_ready = True
                started.set()
                await greet(service.pool, settings)
                await stop.wait()
                log.info("stopping")
                service.is_ready = False
                for task in tasks:
                    task.cancel()


def _services(service: Service, server: asyncio.Task[None] | None) -> Services:
    """Return every service of this replica's roles; the writer and the live hub serve them all."""
    roles = service.settings.roles
    services = everyones(service)
    if server is not None:
        services["http"] = _wait(server)
    if "collect" in roles:
        services |= collectors(service)
    if "alert" in roles:
        services |= judges(service)
    if "retain" in roles:
        services |= keepers(service)
    return services


async def _wait(server: asyncio.Task[None]) -> None:
    """Run until the server ends; cancelled, it ends the server."""
    await server
