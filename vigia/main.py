"""Builds every part and runs them together; with the service's parts, it alone knows them all."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from litestar import Litestar

from api.app import create_app
from api.auth import Authenticator
from api.connections import Connections, open_connections
from api.parts import Parts
from api.server import listen, serve
from api.websocket import stream_route
from vigia.greeting import greet
from vigia.service import Service, open_service
from vigia.settings import Settings, SettingsError
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
    with _port(settings) as listener:
        async with open_service(settings) as service, asyncio.TaskGroup() as group:
            services = _services(service, listener)
            tasks = [group.create_task(run, name=name) for name, run in services.items()]
            service.is_ready = True
            started.set()
            await greet(service.pool, settings)
            await stop.wait()
            log.info("stopping")
            service.is_ready = False
            for task in tasks:
                task.cancel()


@contextmanager
def _port(settings: Settings) -> Iterator[socket.socket | None]:
    """Take the port before anything is started, so that a taken one is said at once."""
    if "api" not in settings.roles:
        yield None
        return
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        reason = f"cannot listen on {settings.host}: {error.strerror}"
        raise SettingsError(f"VIGIA_PORT: {settings.port}: {reason}") from error
    with listener:
        yield listener


def _services(service: Service, listener: socket.socket | None) -> Services:
    """Return every service of this replica's roles; the writer and the live hub serve them all."""
    roles = service.settings.roles
    services = everyones(service)
    if listener is not None:
        connections = open_connections(service.settings.trusted_proxies)
        services["http"] = serve(_app(service, connections), listener, connections)
    if "collect" in roles:
        services |= collectors(service)
    if "alert" in roles:
        services |= judges(service)
    if "retain" in roles:
        services |= keepers(service)
    return services


def _app(service: Service, connections: Connections) -> Litestar:
    auth = Authenticator(service.pool, service.settings, service.refusals)
    parts = Parts(
        pool=service.requests,
        own_pool=service.pool,
        reader=service.reader,
        settings=service.settings,
        auth=auth,
        live=service.live,
        write=service.writer.store,
        is_away=lambda: service.writer.is_away,
        announce=service.live.ring,
        config=lambda: service.config,
        set_config=service.set_config,
        status=service.status,
        ready=lambda: service.is_ready,
        storage=service.storage,
        preview=service.preview,
        connections=connections,
    )
    return create_app(parts, [stream_route(service.live, auth)])
