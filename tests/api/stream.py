"""A running live stream for tests, and the hands to make something happen on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from litestar import Litestar

from api import server
from api.app import create_app
from api.auth import Authenticator
from api.feed import Limits
from api.live import Live
from api.parts import Parts
from api.refusals import Refusals
from api.websocket import PATHS, stream_route
from db import events, keys
from db.config import Config
from db.queries import Pool
from db.readiness import Readiness
from db.writer import Writer
from retention.preview import preview
from retention.storage import measure
from vigia.model import Role, Series, utc_now
from vigia.settings import Secret, Settings

ADMIN_KEY = "an-admin-key-of-more-than-32-characters"
BEARER = {"Authorization": f"Bearer {ADMIN_KEY}"}
WAIT_S = 10.0
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
        self.refusals = Refusals()

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
            seq = await events.append(connection, utc_now(), payloads)
        self.live.ring()
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


async def _ignore(_config: Config) -> None:
    """Nobody changes settings here."""


def app_of(service: Service) -> Litestar:
    own = Settings(admin_key=Secret(ADMIN_KEY), port=service.port)
    auth = Authenticator(service.pool, own, refusals=service.refusals)
    parts = Parts(
        pool=service.pool,
        own_pool=service.pool,
        reader=service.pool,
        settings=own,
        auth=auth,
        live=service.live,
        write=service.writer.store,
        is_away=lambda: service.writer.is_away,
        announce=service.live.ring,
        config=Config,
        set_config=_ignore,
        status=dict,
        ready=lambda: True,
        unready=Readiness(service.pool, str).cause,
        storage=lambda connection: measure(connection, None, None, utc_now()),
        preview=lambda connection, wanted: preview(connection, wanted, utc_now()),
    )
    return create_app(parts, [stream_route(service.live, auth)])


@asynccontextmanager
async def running(pool: Pool, limits: Limits | None = None) -> AsyncIterator[Service]:
    listener = server.listen("127.0.0.1", 0)
    service = Service(pool, Live(pool, limits), listener.getsockname()[1])
    tasks = [
        asyncio.create_task(service.live.run()),
        asyncio.create_task(server.serve(app_of(service), listener)),
    ]
    try:
        yield service
    finally:
        await service.http.close()
        for task in reversed(tasks):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results
