"""A server with limits of its own, and clients that send what they like."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from api.server import server
from api.server.connections import Connections, Limits, delay, identify
from model.principal import Principal, Role

WAIT_S = 10.0
GET = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /ok HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@get("/ok", sync_to_thread=False)
def ok() -> str:
    return "fine"


@get("/known", sync_to_thread=False)
def known(request: Request[Any, Any, Any]) -> str:
    identify(request.scope, Principal("ana", Role.VIEWER))
    return "known"


@get("/penalty")
async def penalty(request: Request[Any, Any, Any]) -> bool:
    return await delay(request.scope, "127.0.0.1", 2 * WAIT_S)


@post("/read")
async def read(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


@get("/endless")
async def endless() -> None:
    await asyncio.Event().wait()


class Gate:
    """An application whose requests each wait, whatever becomes of their connection."""

    def __init__(self, then: Callable[[Scope], Awaitable[Any]]) -> None:
        self._then = then
        self.opened = asyncio.Event()
        self.begun = 0
        self.ended = 0

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.begun += 1
        await self.opened.wait()
        await self._then(scope)
        self.ended += 1
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done", "more_body": False})


class Serving(Struct):
    """A server, its connections, and the ones that a test opened."""

    port: int
    connections: Connections
    opened: list[asyncio.StreamWriter]

    async def connect(self, sent: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        self.opened.append(writer)
        return reader

    async def ask(self, sent: bytes = GET) -> bytes:
        return (await answer_of(await self.connect(sent)))[0]


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return head and body of one answer."""
    async with asyncio.timeout(WAIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().splitlines()
        [length] = [int(line.split()[1]) for line in lines if line.startswith(b"content-length")]
        return head, await reader.readexactly(length)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Return what came, also where the connection was reset after it."""
    came = b""
    async with asyncio.timeout(WAIT_S):
        with suppress(ConnectionResetError):
            while part := await reader.read(1 << 16):
                came += part
    return came


@asynccontextmanager
async def serving(
    limits: Limits, trusted: tuple[str, ...] = (), app: Any = None
) -> AsyncIterator[Serving]:
    listener = server.listen("127.0.0.1", 0)
    found = Serving(listener.getsockname()[1], Connections(limits, trusted), [])
    routes = [ok, known, penalty, read, endless]
    app = app or Litestar(routes, logging_config=None, openapi_config=None)
    task = asyncio.create_task(server.serve(app, listener, found.connections))
    try:
        yield found
    finally:
        for writer in found.opened:
            writer.transport.abort()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def check_problem(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    assert json.loads(body)["status"] == status
