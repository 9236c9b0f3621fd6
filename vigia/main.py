"""Builds every part and runs them together; with the service's parts, it alone knows them all."""

import asyncio
import gc
import signal
import socket
import sys

import structlog

from runtime.settings import MAKE_A_KEY, Settings, is_guessable
from vigia.banner import print_banner_when_possible
from vigia.http import port_of, serving
from vigia.service import Service, open_unprepared
from vigia.tasks import Services, collectors, evaluators, everyones, keepers, senders

log = structlog.get_logger()

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that decodes a body may hold up everyone else: Python's 5 ms add up, since the
loop needs its turn several times for each statement."""


async def main(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. A service that crashes ends them all, in the same order."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _warn(settings)
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


def _warn(settings: Settings) -> None:
    """Say of a chosen key that it can be guessed; any of 32 characters is promised to do."""
    if settings.admin_key is not None and is_guessable(settings.admin_key):
        advice = f"set another key in VIGIA_ADMIN_KEY; make one with: {MAKE_A_KEY}"
        log.warning("admin_key_is_guessable", reason="it repeats itself", advice=advice)


async def _run(settings: Settings, started: asyncio.Event, stop: asyncio.Event) -> None:
    with port_of(settings) as listener:
        async with open_unprepared(settings) as service:
            await run_services(service, listener, started, stop)


async def run_services(
    service: Service, listener: socket.socket | None, started: asyncio.Event, stop: asyncio.Event
) -> None:
    """Serve on the listener, begin, and run every service until `stop`.

    HTTP is one of them from the first moment on: when it fails, nothing waits for the database.
    """
    async with serving(service, listener) as server, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_wait(server), name="http")] if server is not None else []
        await service.start.run()
        services = _services(service)
        tasks += [group.create_task(run, name=name) for name, run in services.items()]
        # What the start has made lives as long as the process: no collection looks at it again.
        gc.freeze()
        service.is_ready = True
        started.set()
        await print_banner_when_possible(service.pool, service.settings, stop)
        await stop.wait()
        log.info("stopping")
        service.is_ready = False
        for task in tasks:
            task.cancel()


def _services(service: Service) -> Services:
    """Return every service of this replica's roles; the writer and the live hub serve them all."""
    roles = service.settings.roles
    services = everyones(service)
    if "collect" in roles:
        services |= collectors(service)
    if "alert" in roles:
        services |= evaluators(service)
    if "deliver" in roles:
        services |= senders(service)
    if "retain" in roles:
        services |= keepers(service)
    return services


async def _wait(server: asyncio.Task[None]) -> None:
    """Run until the server ends; cancelled, it ends the server."""
    await server
    raise RuntimeError("the HTTP server has ended by itself")
