"""The WebSocket over a real server: who may listen, and what each message is."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar

from api import server
from api.app import create_app
from api.auth import Authenticator
from api.feed import Limits
from api.live import Live
from api.parts import Parts
from api.websocket import PATHS, stream_route
from db import alerts, events, keys
from db.config import Config
from db.queries import Pool
from db.writer import Writer
from vigia.model import Category, Level, Principal, Role, Sample, Series, utc_now
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


def app_of(service: Service) -> Litestar:
    own = Settings(admin_key=Secret(ADMIN_KEY), port=service.port)
    auth = Authenticator(service.pool, own)
    parts = Parts(
        pool=service.pool,
        settings=own,
        auth=auth,
        write=service.writer.write,
        announce=service.live.ring,
        config=Config,
        set_config=lambda _: None,
        status=dict,
        ready=lambda: True,
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


@pytest.fixture
async def service(pool: Pool) -> AsyncIterator[Service]:
    async with running(pool, Limits(auth_s=0.3)) as found:
        yield found


@pytest.mark.parametrize("path", PATHS)
async def test_client_is_greeted_and_given_the_whole_state(service: Service, path: str) -> None:
    seq = await service.announce(resolved(1), resolved(2))
    await service.writer.write([Sample(CPU, utc_now(), 12.5)])
    async with service.pool.connection() as connection:
        await alerts.open_test(
            connection, utc_now(), Level.WARNING, Category.SYSTEM, "server", "Title", "Message"
        )

    ws = await service.http.ws_connect(f"http://127.0.0.1:{service.port}{path}", headers=BEARER)
    found = [await message(ws) for _ in range(4)]

    assert [part["type"] for part in found] == ["hello", "metrics", "health", "alerts"]
    assert [part["seq"] for part in found] == [seq] * 4
    assert found[0]["data"]["seq"] == seq
    assert found[1]["data"]["components"]["server"]["metrics"][CPU.metric]["value"] == 12.5
    assert found[2]["data"] == {"status": None, "components": {}}
    assert found[3]["data"]["snapshot"] is True
    assert [alert["title"] for alert in found[3]["data"]["alerts"]] == ["Title"]


async def test_written_samples_are_pushed_as_the_changed_components(service: Service) -> None:
    disk = Series(metric="disk", component="server", labels=(("mount", "/"),), unit="percent")
    await service.writer.write([Sample(CPU, utc_now(), 1.0)])
    ws, _ = await service.listen()

    await service.writer.write([Sample(disk, utc_now(), 50.0)])

    found = await message(ws)
    assert found["type"] == "metrics"
    (shown,) = found["data"]["components"]["server"]["metrics"].items()
    assert shown[0] == "disk"
    assert shown[1]["series"][0]["labels"] == {"mount": "/"}


async def test_alert_is_pushed_within_a_second_and_so_is_its_end(service: Service) -> None:
    ws, _ = await service.listen()

    started = time.monotonic()
    raised = await service.post("/dev/test-alert")
    found = await message(ws)
    assert time.monotonic() - started < 1
    assert found["type"] == "alerts"
    assert found["data"] == {"snapshot": False, "alerts": [raised]}
    await service.post(f"/alerts/{raised['id']}/resolve")
    found = await message(ws)

    assert (found["type"], found["data"]["id"]) == ("alert_resolved", raised["id"])
    assert found["data"]["state"] == "resolved"


async def test_transitions_arrive_in_the_order_of_their_commits(service: Service) -> None:
    ws, _ = await service.listen()

    await asyncio.gather(*(service.announce(resolved(n), resolved(n)) for n in range(20)))

    assert [(await message(ws))["seq"] for _ in range(40)] == list(range(1, 41))


async def test_transition_of_another_replica_arrives_without_the_doorbell(
    service: Service,
) -> None:
    ws, _ = await service.listen()

    async with service.pool.connection() as connection, connection.transaction():
        await events.append(connection, utc_now(), [resolved(7)])

    assert (await message(ws))["data"]["id"] == 7


@pytest.mark.parametrize("events_kept", [250, 1024])
async def test_resuming_client_gets_exactly_what_it_missed(pool: Pool, events_kept: int) -> None:
    async with running(pool, Limits(events=events_kept)) as service:
        ws, _ = await service.listen()
        await service.announce(*(resolved(n) for n in range(1, 6)))
        seen = [await message(ws) for _ in range(5)]
        await ws.close()
        await service.announce(*(resolved(n) for n in range(6, 301)))

        ws = await service.connect(f"?resume={seen[-1]['seq']}", **BEARER)
        await service.announce(resolved(301))

        hello = await message(ws)
        assert (hello["type"], hello["seq"], hello["data"]["resumed"]) == ("hello", 5, True)
        assert [(await message(ws))["data"]["id"] for _ in range(296)] == list(range(6, 302))


async def test_resume_in_the_auth_message_replays_too(service: Service) -> None:
    await service.announce(resolved(1), resolved(2))
    ws = await service.connect()

    await ws.send_json({"type": "auth", "token": ADMIN_KEY, "resume": 1})

    assert (await message(ws))["type"] == "hello"
    assert (await message(ws))["seq"] == 2


@pytest.mark.parametrize("resume", [1, 9999])
async def test_resume_that_cannot_be_honoured_gets_lagged_and_the_state(
    service: Service, resume: int
) -> None:
    await service.announce(*(resolved(n) for n in range(5)))
    async with service.pool.connection() as connection:
        await events.drop_old(connection, utc_now() + timedelta(hours=1))
    async with running(service.pool) as restarted:
        ws = await restarted.connect(f"?resume={resume}", **BEARER)

        found = [await message(ws) for _ in range(5)]

    assert [part["type"] for part in found] == ["hello", "lagged", "metrics", "health", "alerts"]
    assert found[-1]["seq"] == 5


async def test_malformed_resume_is_said_and_gets_the_state(service: Service) -> None:
    ws, found = await service.listen("?resume=yesterday")

    assert [part["type"] for part in found] == ["hello", "metrics", "health", "alerts"]
    assert "resume" in (await message(ws))["data"]["message"]


async def test_wrong_keys_are_refused_after_the_handshake(service: Service) -> None:
    by_header = await service.connect(Authorization="Bearer wrong")
    by_scheme = await service.connect(Authorization="Basic d3Jvbmc6")
    by_message = await service.connect()
    await by_message.send_json({"type": "auth", "token": "wrong"})

    assert [await close_code(ws) for ws in (by_header, by_scheme, by_message)] == [4401] * 3


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
    await until(lambda: service.live.strangers == 0)


async def test_key_that_may_only_write_is_refused(service: Service) -> None:
    key = await service.new_key("agent", Role.INGEST)

    assert await close_code(await service.connect(Authorization=f"Bearer {key}")) == 4403


async def test_cookie_is_believed_only_from_our_own_pages(service: Service) -> None:
    async with service.pool.connection() as connection:
        session = await keys.open_session(
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


async def test_revoked_key_closes_its_sockets_within_five_seconds(service: Service) -> None:
    key = await service.new_key("ana", Role.VIEWER)
    ended = [await service.connect(Authorization=f"Bearer {key}") for _ in range(3)]
    for ws in ended:
        assert {(await message(ws))["type"] for _ in range(4)} >= {"hello"}
    other, _ = await service.listen()
    async with service.pool.connection() as connection:
        await keys.revoke(connection, "ana", utc_now())
    started = time.monotonic()

    assert [await close_code(ws) for ws in ended] == [4401] * 3
    assert time.monotonic() - started < 5
    await other.send_json({"type": "ping"})
    assert (await message(other))["type"] == "pong"


async def test_subscription_limits_topics_and_components(service: Service) -> None:
    database = Series(metric="database_latency_ms", component="database")
    await service.writer.write([Sample(CPU, utc_now(), 1.0), Sample(database, utc_now(), 2.0)])
    ws, _ = await service.listen()

    await ws.send_json(
        {"type": "subscribe", "topics": ["metrics", "alerts"], "components": ["database"]}
    )
    state = [await message(ws) for _ in range(2)]
    alert = {"id": 1, "component": "server"}
    await service.announce(
        resolved(1, "database"),
        ("alerts", {"snapshot": False, "alerts": [alert]}),
        ("alerts", {"snapshot": False, "alerts": [alert, {"id": 2, "component": "database"}]}),
        ("health", {"status": "down", "components": {"database": {}}}),
    )

    assert [part["type"] for part in state] == ["metrics", "alerts"]
    assert set(state[0]["data"]["components"]) == {"database"}
    found = await message(ws)
    assert (found["type"], found["seq"]) == ("alerts", 3)
    assert [one["id"] for one in found["data"]["alerts"]] == [2]
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"


async def test_unsubscribing_takes_away(service: Service) -> None:
    ws, _ = await service.listen()

    await ws.send_json({"type": "unsubscribe", "components": ["server"]})
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"
    await service.announce(resolved(1), resolved(2, "database"))
    assert (await message(ws))["data"]["id"] == 2
    await ws.send_json({"type": "unsubscribe"})
    await ws.send_json({"type": "ping"})
    assert (await message(ws))["type"] == "pong"
    await service.announce(resolved(3), resolved(4, "database"))
    await ws.send_json({"type": "subscribe", "topics": ["health"]})

    assert (await message(ws))["type"] == "health"


async def test_what_cannot_be_understood_is_answered_with_help(service: Service) -> None:
    ws, _ = await service.listen()
    await ws.send_bytes(b"\x00\xff")
    for text in ["{", "[]", '{"type": "buy"}', '{"type": "subscribe", "topics": ["weather"]}']:
        await ws.send_str(text)
    await ws.send_json({"type": "auth", "token": ADMIN_KEY})
    await ws.send_json({"type": "ping"})

    found = [await message(ws) for _ in range(7)]

    assert [part["type"] for part in found] == ["error"] * 6 + ["pong"]
    assert "binary" in found[0]["data"]["message"]
    assert "subscribe" in found[3]["data"]["message"]


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
    async with running(pool, Limits(send_s=1.0)) as service:
        slow = await stalled(service)
        healthy = [(await service.listen())[0] for _ in range(20)]
        await until(lambda: service.live.clients == 21)
        large = "x" * 32_000

        started = time.monotonic()
        for number in range(40):
            await service.announce(
                ("alert_resolved", {"id": number, "component": "server", "message": large})
            )
        for ws in healthy:
            assert [(await message(ws))["data"]["id"] for _ in range(40)] == list(range(40))

        assert time.monotonic() - started < WAIT_S
        await until(lambda: service.live.clients == 20)
        assert service.live.dead == 1
        slow.close()


async def test_clients_beyond_the_limit_are_told_to_try_again(pool: Pool) -> None:
    async with running(pool, Limits(clients=1, strangers=1)) as service:
        first, _ = await service.listen()

        assert await close_code(await service.connect(**BEARER)) == 1013
        stranger = await service.connect()
        await until(lambda: service.live.strangers == 1)
        assert await close_code(await service.connect()) == 1013
        await first.close()
        await until(lambda: service.live.clients == 0)
        await stranger.send_json({"type": "auth", "token": ADMIN_KEY})
        assert (await message(stranger))["type"] == "hello"


async def test_clients_are_told_when_the_service_ends(pool: Pool) -> None:
    async with running(pool) as service:
        ws, _ = await service.listen()
        ended: Awaitable[int | None] = asyncio.ensure_future(close_code(ws))
        http, service.http = service.http, aiohttp.ClientSession()

    assert await ended == 1012
    await http.close()
