"""The HTTP service binds its port or reports it, drains when cancelled, drops stalled peers."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import psutil
import pytest
from litestar import Litestar, Request, get
from litestar.response import Stream

from api.server import server
from api.server.connections import Connections, Limits

WAIT_S = 10.0


@get("/ok", sync_to_thread=False)
def ok(request: Request[object, object, object]) -> str:  # type: ignore[type-var]
    return request.client.host if request.client else ""


inside: set[str] = set()
"""Names of the requests that have begun."""


@get("/slow")
async def slow() -> str:
    inside.add("slow")
    await asyncio.sleep(0.5)
    return "slow"


@get("/endless")
async def endless() -> str:
    inside.add("endless")
    await asyncio.Event().wait()
    return ""


@get("/large")
async def large() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield bytes(1 << 16)
            await asyncio.sleep(0)

    return Stream(parts())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    trusted: tuple[str, ...] = (),
    stalled_ms: int = server.STALLED_TIMEOUT_MS,
    limits: Limits | None = None,
) -> AsyncIterator[tuple[str, asyncio.Task[None], aiohttp.ClientSession]]:
    listener = server.listen("127.0.0.1", 0)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stalled_ms)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    connections = Connections(limits, trusted)
    app = Litestar([ok, slow, endless, large], logging_config=None, openapi_config=None)
    task = asyncio.create_task(server.serve(app, listener, connections))
    try:
        async with aiohttp.ClientSession() as http:
            yield url, task, http
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def text_of(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


def peers_of(port: int) -> set[int]:
    """The ports of those whom this process holds a connection for on one of its own ports."""
    found = psutil.Process().net_connections("tcp")
    return {link.raddr.port for link in found if link.laddr.port == port and link.raddr}


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def test_taken_port_is_a_plain_error() -> None:
    with server.listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        server.listen("127.0.0.1", first.getsockname()[1])


async def test_cancelled_server_finishes_its_answers_and_frees_the_port() -> None:
    async with serving() as (url, task, http):
        assert await text_of(http, f"{url}/ok")
        answer = asyncio.create_task(text_of(http, f"{url}/slow"))
        await until(lambda: "slow" in inside)

        task.cancel()

        assert await answer == "slow"
        with pytest.raises(asyncio.CancelledError):
            await task
        server.listen("127.0.0.1", port_of(url)).close()


async def test_request_without_end_is_cut_off_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as (url, task, http):
        answer = asyncio.create_task(text_of(http, f"{url}/endless"))
        await until(lambda: "endless" in inside)
        with caplog.at_level(logging.DEBUG):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(server.DRAIN_TIMEOUT_S + 2):
                    await task

        await asyncio.gather(answer, return_exceptions=True)
        assert "CancelledError" not in caplog.text
        assert "Traceback" not in caplog.text


async def test_signals_stay_with_whoever_runs_the_server() -> None:
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.set)
    try:
        async with serving() as (url, task, http):
            assert await text_of(http, f"{url}/ok")
            os.kill(os.getpid(), signal.SIGTERM)
            await until(heard.is_set)
            assert await text_of(http, f"{url}/ok")
            assert not task.done()
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@pytest.mark.parametrize(("trusted", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "192.0.2.7")])
async def test_forwarded_address_is_believed_from_trusted_proxies_only(
    trusted: tuple[str, ...], seen: str
) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    async with serving(trusted) as (url, _, http), http.get(f"{url}/ok", headers=forwarded) as it:
        assert await it.text() == seen
        assert "Server" not in it.headers


async def test_peer_that_takes_nothing_is_cut_off() -> None:
    async with serving(stalled_ms=1000) as (url, _, _):
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", port_of(url)))
            peer.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            mine = peer.getsockname()[1]
            await until(lambda: mine in peers_of(port_of(url)))

            await until(lambda: mine not in peers_of(port_of(url)))
