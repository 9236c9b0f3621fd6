"""The scenarios of clients on a service with very many series."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
from msgspec import Struct

from bench.processes import OK

BASE = "/api/v1/monitoring"
CLIENTS = 4
WEBSOCKETS = 8
POSTED = 10_000
"""Samples in one request."""
MESSAGE_BYTES_MAX = 256 * 1024 * 1024

Run = Callable[[aiohttp.ClientSession, float], Awaitable[int]]


class Scenario(Struct, frozen=True):
    """One operation that clients repeat until a monotonic time. `run` returns how often."""

    name: str
    run: Run


def _getting(path: str) -> Run:
    async def get(http: aiohttp.ClientSession, until_s: float) -> int:
        return await _together(CLIENTS, until_s, lambda: _read(http, path))

    return get


async def _read(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        # 429 for too many requests is a valid answer as well.
        if answer.status not in {OK, 503}:
            raise RuntimeError(f"{path} answered {answer.status}: {await answer.text()}")
        async for _ in answer.content.iter_chunked(1 << 16):
            pass


async def _post(http: aiohttp.ClientSession, until_s: float) -> int:
    return await _together(1, until_s, lambda: _post_once(http))


async def _post_once(http: aiohttp.ClientSession) -> None:
    now = time.time()
    columns = [
        {
            "metric": "load_value",
            "component": f"host-{number // 1000:04}",
            "labels": {"n": str(number)},
            "times": [now],
            "values": [float(number)],
        }
        for number in range(POSTED)
    ]
    body = msgspec.json.encode({"series": columns})
    async with http.post(f"{BASE}/metrics", data=body) as answer:
        await answer.read()
        if answer.status != OK:
            raise RuntimeError(f"a post answered {answer.status}: {await answer.text()}")
    await asyncio.sleep(0.5)


async def _reconnect(http: aiohttp.ClientSession, until_s: float) -> int:
    return await _together(WEBSOCKETS, until_s, lambda: _connect_once(http))


async def _connect_once(http: aiohttp.ClientSession) -> None:
    """Read the full state, and disconnect."""
    async with http.ws_connect("/", max_msg_size=MESSAGE_BYTES_MAX) as socket:
        async for message in socket:
            if msgspec.json.decode(message.data)["type"] == "alerts":
                return


async def _together(clients: int, until_s: float, act: Callable[[], Awaitable[None]]) -> int:
    async def one() -> int:
        times = 0
        while time.monotonic() < until_s:
            await act()
            times += 1
        return times

    return sum(await asyncio.gather(*(one() for _ in range(clients))))


async def _wait(_: aiohttp.ClientSession, until_s: float) -> int:
    await asyncio.sleep(until_s - time.monotonic())
    return 0


SCENARIOS = (
    Scenario("nothing", _wait),
    Scenario("catalogue", _getting(f"{BASE}/metrics?limit=1000")),
    Scenario("current values", _getting(f"{BASE}/metrics/current")),
    Scenario("dashboard", _getting(f"{BASE}/dashboard")),
    Scenario("exposition", _getting(f"{BASE}/metrics/export")),
    Scenario("posts of 10,000", _post),
    Scenario("WebSocket connects", _reconnect),
)
