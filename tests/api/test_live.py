"""The WebSocket on a real server: who may listen, and that no client affects others."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts import keys, sessions
from api.server import server
from db.queries import Pool
from live.client import Limits
from model.principal import Principal, Role
from model.times import utc_now
from tests.live.stream import (
    ADMIN_KEY,
    BEARER,
    WAIT_S,
    Service,
    close_code,
    message,
    running,
    until,
)


@pytest.fixture
async def service(pool: Pool) -> AsyncIterator[Service]:
    async with running(pool, Limits(auth_s=0.3)) as found:
        yield found


def refused(service: Service) -> dict[tuple[str, str], int]:
    """How often what was noted for the audit, by type and actor."""
    return {(event.type, event.actor): event.count for event in service.refusals._take()}


async def test_wrong_keys_are_refused_after_the_handshake(service: Service) -> None:
    by_header = await service.connect(Authorization="Bearer wrong")
    by_scheme = await service.connect(Authorization="Basic d3Jvbmc6")
    by_message = await service.connect()
    await by_message.send_json({"type": "auth", "token": "wrong"})

    assert [await close_code(ws) for ws in (by_header, by_scheme, by_message)] == [4401] * 3
    assert refused(service) == {("key_refused", ""): 3}


@pytest.mark.parametrize("first", ["{}", "nonsense", '{"type":"ping"}', '{"type":"auth"}'])
async def test_first_message_that_is_no_auth_is_refused(service: Service, first: str) -> None:
    ws = await service.connect()

    await ws.send_str(first)

    assert await close_code(ws) == 4401


async def test_silent_stranger_is_refused_in_time(service: Service) -> None:
    ws = await service.connect()
    started = time.monotonic()

    assert await close_code(ws) == 4401
    assert 0.2 < time.monotonic() - started < 3
    await until(lambda: service.live.unauthenticated == 0)


async def test_key_that_may_only_write_is_refused(service: Service) -> None:
    key = await service.new_key("agent", Role.INGEST)

    assert await close_code(await service.connect(Authorization=f"Bearer {key}")) == 4403
    assert refused(service) == {("forbidden", "agent"): 1}


async def test_cookie_is_believed_only_from_our_own_pages(service: Service) -> None:
    async with service.pool.connection() as connection:
        session = await sessions.open_session(
            connection, Principal("ana", Role.VIEWER), None, utc_now()
        )
    cookie, port = f"vigia={session.reveal()}", service.port
    own = f"http://127.0.0.1:{port}"
    foreign = [
        "http://evil.example",
        "null",
        f"{own}.evil.example",
        f"http://evil.example/{own}",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        f"HTTP://127.0.0.1:{port}",
        f"http://me@127.0.0.1:{port}",
        f"https://127.0.0.1:{port}",
        f"{own}/",
        "",
    ]

    for origin in foreign:
        assert await close_code(await service.connect(Cookie=cookie, Origin=origin)) == 4401, origin
    assert await close_code(await service.connect(Cookie=cookie)) == 4401
    ws = await service.connect(Cookie=cookie, Origin=own)
    assert (await message(ws))["type"] == "hello"
    stale = await service.connect(Cookie="vigia=stale", Origin=own)
    assert await close_code(stale) == 4401
    assert refused(service) == {("forbidden", ""): len(foreign) + 1, ("key_refused", ""): 1}


async def test_an_origin_that_cannot_be_read_is_not_ours(service: Service) -> None:
    cookie = f"vigia={sessions.new_session().reveal()}"

    for host in ("[", "[::1", "[x]"):
        ws = await service.connect(Cookie=cookie, Origin=f"http://{host}", Host=host)
        assert await close_code(ws) == 4401, host
    assert refused(service) == {("forbidden", ""): 3}


async def test_revoked_key_closes_its_sockets_within_five_seconds(service: Service) -> None:
    key = await service.new_key("ana", Role.VIEWER)
    ended = [await service.connect(Authorization=f"Bearer {key}") for _ in range(3)]
    for ws in ended:
        assert {(await message(ws))["type"] for _ in range(4)} >= {"hello"}
    other, _ = await service.listen()
    async with service.pool.connection() as connection:
        await keys.revoke(connection, "ana", utc_now(), "test")
    started = time.monotonic()

    assert [await close_code(ws) for ws in ended] == [4401] * 3
    assert time.monotonic() - started < 5
    await other.send_json({"type": "ping"})
    assert (await message(other))["type"] == "pong"


async def test_client_that_only_talks_nonsense_is_closed(service: Service) -> None:
    ws, _ = await service.listen()
    for _ in range(60):
        await ws.send_str("nonsense")

    async with asyncio.timeout(WAIT_S):
        while (await ws.receive()).type == aiohttp.WSMsgType.TEXT:
            pass
    assert ws.close_code == 1008


async def test_message_beyond_the_limit_closes_the_connection(service: Service) -> None:
    ws, _ = await service.listen()

    await ws.send_str("x" * (server.MESSAGE_BYTES_MAX + 1))

    assert await close_code(ws) == 1009


GARBAGE = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200),
    st.integers(1, 30_000).map(lambda depth: "[" * depth),
    st.integers(1, 5_000).map(lambda depth: '{"type":"ping","x":' + "[" * depth),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["type", "topics", "components", "é"]), inner)
        ),
        max_leaves=8,
    ).map(json.dumps),
    st.builds(
        lambda kind, field, value: json.dumps({"type": kind, field: value}),
        st.sampled_from(["auth", "subscribe", "unsubscribe", "ping"]),
        st.sampled_from(["token", "resume", "topics", "components"]),
        st.text(max_size=5) | st.integers() | st.lists(st.text(max_size=5), max_size=300),
    ),
    st.sampled_from(
        ['"\\ud800"', '{"type":"\\ud800"}', '{"type":"subscribe","components":["\\udfff"]}']
    ),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.lists(GARBAGE, min_size=1, max_size=10))
async def test_garbage_never_ends_the_conversation(
    service: Service, garbage: list[str | bytes]
) -> None:
    ws, _ = await service.listen()

    for part in garbage:
        await (ws.send_bytes(part) if isinstance(part, bytes) else ws.send_str(part))
    await ws.send_json({"type": "ping"})

    while (await message(ws))["type"] != "pong":
        pass
    await ws.close()


async def stalled(service: Service) -> socket.socket:
    """A client that says who it is and then never reads."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", service.port))
    request = (
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await asyncio.get_running_loop().sock_sendall(sock, request.encode())
    return sock


async def test_slow_client_is_closed_and_delays_nobody(pool: Pool) -> None:
    async with running(pool, Limits(send_s=3.0)) as service:
        slow = await stalled(service)
        healthy = [(await service.listen())[0] for _ in range(20)]
        await until(lambda: service.live.clients == 21)
        large = "x" * 32_000

        for number in range(40):
            await service.announce(
                ("alert_resolved", {"id": number, "component": "server", "message": large})
            )
        for ws in healthy:
            assert [(await message(ws))["data"]["id"] for _ in range(40)] == list(range(40))

        # The healthy had everything while the slow one was still being waited for.
        assert (service.live.clients, service.live.dead) == (21, 0)
        await until(lambda: service.live.clients == 20)
        assert service.live.dead == 1
        slow.close()


async def test_clients_beyond_the_limit_are_told_to_try_again(pool: Pool) -> None:
    async with running(pool, Limits(clients=1, unauthenticated=1)) as service:
        first, _ = await service.listen()

        assert await close_code(await service.connect(**BEARER)) == 1013
        unauthenticated = await service.connect()
        await until(lambda: service.live.unauthenticated == 1)
        assert await close_code(await service.connect()) == 1013
        await first.close()
        await until(lambda: service.live.clients == 0)
        await unauthenticated.send_json({"type": "auth", "token": ADMIN_KEY})
        assert (await message(unauthenticated))["type"] == "hello"
