"""A provider on loopback: it keeps the requests it gets, and answers as it is told to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec import Struct, field
from multidict import CIMultiDictProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Request(Struct, frozen=True):
    """One request as it arrived."""

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes


class Provider(Struct):
    """Answers every request with `answer`; `requests` are those that came, oldest first."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    handler: Handler | None = None
    requests: list[Request] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        kept = Request(request.method, request.path_qs, request.headers, await request.read())
        self.requests.append(kept)
        if self.handler is not None:
            return await self.handler(request)
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@asynccontextmanager
async def open_provider(**options: Any) -> AsyncIterator[Provider]:
    """Serve on a free port of 127.0.0.1."""
    provider = Provider(**options)
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", provider.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
