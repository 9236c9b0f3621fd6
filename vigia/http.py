"""HTTP of a running service: its port, its application, and its server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from litestar import Litestar

from api.app import create_app
from api.auth import Authenticator
from api.connections import Connections, open_connections
from api.parts import Parts
from api.server import listen, serve
from api.websocket import stream_route
from vigia.service import Service
from vigia.settings import Settings, SettingsError


@contextmanager
def port_of(settings: Settings) -> Iterator[socket.socket | None]:
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


@asynccontextmanager
async def serving(
    service: Service, listener: socket.socket | None
) -> AsyncIterator[asyncio.Task[None] | None]:
    """Serve from now on, also while the service still starts; yields what runs the server."""
    if listener is None:
        yield None
        return
    connections = open_connections(service.settings.trusted_proxies)
    running = serve(_app(service, connections), listener, connections)
    server = asyncio.create_task(running, name="http")
    try:
        yield server
    finally:
        server.cancel()
        # Whoever was given the task hears of its errors.
        await asyncio.wait([server])


def _app(service: Service, connections: Connections) -> Litestar:
    def obstacle() -> str:
        return service.obstacle

    auth = Authenticator(service.pool, service.settings, service.refusals, obstacle)
    service.incarnations.on_change.append(auth.forget)
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
        unready=service.readiness.cause,
        obstacle=obstacle,
        storage=service.storage,
        preview=service.preview,
        connections=connections,
    )
    return create_app(parts, [stream_route(service.live, auth)])
