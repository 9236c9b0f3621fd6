"""A running live stream for tests, and functions that cause events on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from litestar import Litestar

from accounts import keys
from api.accounts.authenticator import Authenticator
from api.app import create_app
from api.http.context import AppContext
from api.live import PATHS
from api.server import server
from api.server.connections import Connections
from audit.refusals import Refusals
from config.model import Config
from db.queries import Pool
from events import bus
from hosts.watch import HostWatch
from live.client import Limits
from live.hub import Live
from model.principal import Role
from model.series import Series
from model.times import utc_now
from notifications.outbox.pool_share import PoolShare
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress
from runtime.settings import Secret, Settings
from samples.database.readiness import Readiness
from samples.writer import Writer
from vigia.transitions import ON_TRANSITIONS

ADMIN_KEY = "an-admin-key-of-more-than-32-characters"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
WAIT_S = 60.0
CPU = Series(metric="server_cpu_percent", component="server", unit="percent")

Socket = aiohttp.ClientWebSocketResponse
Json = dict[str, Any]


class Service:
    """A running stream, and the hands to make something happen on it."""

    def __init__(self, pool: Pool, live: Live, port: int) -> None:
        self.pool = pool
        self.live = live
        self.port = port
        self.writer = Writer(pool, live.publish)
        self.http = aiohttp.ClientSession()
        self.egress = Egress(["127.0.0.0/8"])
        self.secret_keys = SecretKeys(["k" * 32])
        self.refusals = Refusals()
        self.connections = Connections()
        self.opened: list[asyncio.StreamWriter] = []

    async def connect(self, query: str = "", **headers: str) -> Socket:
        url = f"http://127.0.0.1:{self.port}{PATHS[1]}{query}"
        return await self.http.ws_connect(url, headers=headers, max_msg_size=0)

    async def listen(self, query: str = "") -> tuple[Socket, list[Json]]:
        """Connect with the admin's key and take hello and the state."""
        ws = await self.connect(query, **BEARER)
        return ws, [await message(ws) for _ in range(4)]

    async def post(self, path: str) -> Json:
        url = f"http://127.0.0.1:{self.port}/api/v1/monitoring{path}"
        async with self.http.post(url, headers=BEARER, json={}) as answer:
            assert answer.status in {200, 201}
            body: Json = await answer.json()
            return body

    async def announce(self, *payloads: tuple[str, Json]) -> int:
        async with self.pool.connection() as connection, connection.transaction():
            seq = await bus.append(connection, utc_now(), payloads)
        self.live.wake()
        return seq

    async def new_key(self, name: str, role: Role) -> str:
        async with self.pool.connection() as connection:
            _, secret = await keys.create(connection, name, role, utc_now(), "test")
        return secret.reveal()


async def message(ws: Socket) -> Json:
    async with asyncio.timeout(WAIT_S):
        found: Json = await ws.receive_json()
    assert set(found) == {"type", "seq", "time", "data"}
    return found


async def close_code(ws: Socket) -> int | None:
    """Read to the end, which must come without another message."""
    async with asyncio.timeout(WAIT_S):
        last = await ws.receive()
    assert last.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}, last
    return ws.close_code


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def resolved(number: int, component: str = "server") -> tuple[str, Json]:
    return "alert_resolved", {"id": number, "component": component}


async def _ignore() -> None:
    """Nobody changes settings here."""


def app_of(service: Service) -> Litestar:
    own = Settings(admin_key=Secret(ADMIN_KEY), port=service.port)
    auth = Authenticator(service.pool, own, refusals=service.refusals)
    hosts = HostWatch(pool=service.pool, put=service.writer.put)
    context = AppContext(
        pool=service.pool,
        own_pool=service.pool,
        reader=service.pool,
        settings=own,
        auth=auth,
        live=service.live,
        write=service.writer.store,
        note_hosts=lambda batch, stored: hosts.note(batch, stored.refused, utc_now(), ()),
        is_away=lambda: service.writer.is_away,
        announce=service.live.wake,
        on_transitions=ON_TRANSITIONS,
        few_connections=PoolShare(service.pool, 2),
        egress=service.egress,
        secret_keys=service.secret_keys,
        config=Config,
        renew_config=_ignore,
        status=dict,
        ready=lambda: True,
        unready=Readiness(service.pool, str).cause,
        disk=lambda: None,
    )
    return create_app(context)


@asynccontextmanager
async def running(
    pool: Pool, limits: Limits | None = None, connections: Connections | None = None
) -> AsyncIterator[Service]:
    listener = server.listen("127.0.0.1", 0)
    service = Service(pool, Live(pool, limits), listener.getsockname()[1])
    service.connections = connections or service.connections
    tasks = [
        asyncio.create_task(service.live.run()),
        asyncio.create_task(server.serve(app_of(service), listener, service.connections)),
    ]
    try:
        yield service
    finally:
        await service.http.close()
        await service.egress.session.close()
        for writer in service.opened:
            writer.transport.abort()
        for task in reversed(tasks):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
