"""Builds the service and runs all its tasks until a signal."""

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
"""The longest time for which a thread keeps the interpreter lock. Python's default of 5 ms adds up,
because the event loop needs the lock several times for each statement."""


async def main(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. A crashed task stops all others in the same order."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _warn(settings)
    started, stop = asyncio.Event(), asyncio.Event()
    this = asyncio.current_task()

    def request_stop() -> None:
        stop.set()
        if this is not None and not started.is_set():
            # A start may take minutes, if the engine replays its log. Do not wait for it.
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
    """Log a warning for an admin key that can be guessed. Any 32 characters are accepted."""
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
    """Run all tasks of the service until `stop` is set.

    1. Serve HTTP from the first moment on, so that probes and early requests get a response.
    2. Prepare the database, which may take long. If HTTP fails meanwhile, the start ends at once.
    3. Start the tasks of this replica's roles, and print the banner.
    4. After `stop`, cancel all tasks. The contexts then close in reverse order and drain.
    """
    async with serving(service, listener) as server, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_wait(server), name="http")] if server is not None else []
        await service.start.run()
        services = _services(service)
        tasks += [group.create_task(run, name=name) for name, run in services.items()]
        # Objects created so far live as long as the process, so exclude them from collections.
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
    """Return the tasks of this replica's roles, and those that every replica runs."""
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
    """Wait for the server. Cancelling this cancels the server. Raises RuntimeError if it ends."""
    await server
    raise RuntimeError("the HTTP server ended by itself")
