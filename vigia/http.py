"""The HTTP side of the service: its port, its application, and its server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from litestar import Litestar

from api.accounts.authenticator import CONFIRM_EVERY_S, Authenticator
from api.app import create_app
from api.http.context import AppContext
from api.server.connections import Connections, open_connections
from api.server.server import listen, serve
from model.times import utc_now
from notifications.outbox.pool_share import PoolShare
from retention.forecast import disk_of
from runtime.schedule import every
from runtime.settings import Settings, SettingsError
from samples.write_batch import Stored, WriteBatch
from vigia.self_monitoring.status import status_of
from vigia.service import Service
from vigia.transitions import ON_TRANSITIONS

TEST_CONNECTIONS_MAX = 2


@contextmanager
def port_of(settings: Settings) -> Iterator[socket.socket | None]:
    """Bind the port before anything else starts. Raises SettingsError if it is taken."""
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
    """Serve while the service starts and runs; yields the task of the server."""
    if listener is None:
        yield None
        return
    server = asyncio.create_task(_serve(service, listener), name="http")
    try:
        yield server
    finally:
        server.cancel()
        # Only wait here: the errors of the task are raised where it is awaited.
        await asyncio.wait([server])


async def _serve(service: Service, listener: socket.socket) -> None:
    """Serve until cancelled, and meanwhile confirm the ingest keys in use."""
    auth = Authenticator(
        service.pool, service.settings, service.refusals, lambda: service.start.obstacle
    )
    service.incarnations.on_change.append(auth.forget)
    connections = open_connections(service.settings.trusted_proxies)
    confirming = asyncio.create_task(
        every(
            lambda: CONFIRM_EVERY_S, lambda _: auth.confirm_senders(), service.counted("senders")
        ),
        name="senders",
    )
    try:
        await serve(_app(service, auth, connections), listener, connections)
    finally:
        confirming.cancel()
        await asyncio.wait([confirming])


async def _note_hosts(service: Service, batch: WriteBatch, stored: Stored) -> None:
    """Note which hosts a stored batch came from."""
    await service.hosts.note(batch, stored.refused, utc_now(), service.config.value.measured)


def _app(service: Service, auth: Authenticator, connections: Connections) -> Litestar:
    context = AppContext(
        pool=service.requests,
        own_pool=service.pool,
        reader=service.reader,
        settings=service.settings,
        auth=auth,
        live=service.live,
        write=service.writer.store,
        note_hosts=partial(_note_hosts, service),
        is_away=lambda: service.writer.is_away,
        announce=service.announce,
        on_transitions=ON_TRANSITIONS,
        few_connections=PoolShare(service.pool, TEST_CONNECTIONS_MAX),
        egress=service.egress,
        secret_keys=service.secret_keys,
        config=lambda: service.config.value,
        renew_config=service.config.renew,
        status=lambda: status_of(service),
        ready=lambda: service.is_ready,
        unready=service.readiness.cause,
        obstacle=lambda: service.start.obstacle,
        disk=lambda: disk_of(service.settings.data_dir) if service.engine.embedded else None,
        connections=connections,
    )
    return create_app(context)
