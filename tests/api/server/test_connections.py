"""Clients that send too little, too slowly or too often keep nobody else out."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from api.app import create_app
from api.server.connections import FILES_RESERVED, Limits, client_of, group_of, identify, limits_of
from model.principal import Principal, Role
from tests.api.conftest import ADMIN_KEY
from tests.api.server.serving import (
    GET,
    UPGRADE,
    WAIT_S,
    Gate,
    answer_of,
    check_problem,
    serving,
    until,
    until_closed,
)

SHORT = Limits(head_timeout_s=0.3, body_timeout_s=0.3, keep_alive_timeout_s=1)
LARGE = bytes(64 << 10)
CODED = "POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {}\r\n\r\n0\r\n\r\n"


async def test_a_head_that_never_ends_is_ended() -> None:
    async with serving(SHORT) as serves:
        reader = await serves.connect(GET[:-2])

        check_problem(await until_closed(reader), 408)
        assert serves.connections.ended == {"head": 1}
        assert (await serves.ask()).startswith(b"HTTP/1.1 200")


async def test_a_dribbled_head_has_no_more_time_than_another() -> None:
    async with serving(SHORT) as serves:
        reader = await serves.connect(GET[:-2])
        closed = asyncio.create_task(until_closed(reader))
        while not closed.done():
            serves.opened[0].write(b"X-A: b\r\n")
            await asyncio.sleep(0.02)

        check_problem(await closed, 408)


@pytest.mark.parametrize("later", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_connection_that_asks_nothing_is_closed_without_an_answer(later: bytes) -> None:
    async with serving(SHORT) as serves:
        assert await until_closed(await serves.connect(later)) == b""
        assert serves.connections.ended == {"head": 1}


async def test_empty_lines_after_an_answer_hold_no_connection() -> None:
    async with serving(replace(SHORT, keep_alive_timeout_s=60)) as serves:
        reader = await serves.connect(GET)
        await answer_of(reader)
        serves.opened[0].write(b"\r\n")

        assert await until_closed(reader) == b""


async def test_a_connection_between_two_requests_lives_as_long_as_it_is_kept_alive() -> None:
    async with serving(SHORT) as serves:
        reader = await serves.connect(GET)
        await answer_of(reader)
        await asyncio.sleep(0.6)
        serves.opened[0].write(GET)

        assert (await answer_of(reader))[1] == b"fine"
        assert await until_closed(reader) == b""
        assert serves.connections.ended == {}


async def test_a_body_that_never_comes_is_answered_408_on_every_route(service: Any) -> None:
    app = create_app(service.context)
    head = (
        "Host: x\r\nContent-Type: {}\r\nContent-Length: 1000\r\nAuthorization: Bearer {}\r\n\r\n{{"
    )
    async with serving(SHORT, app=app) as serves:
        for path, kind in (
            ("/api/v1/auth/session", "application/json"),
            ("/api/v1/monitoring/alerts/rules", "application/json"),
            ("/api/v1/monitoring/metrics", "application/json"),
            ("/api/v1/monitoring/ingest/prometheus/write", "application/x-protobuf"),
        ):
            sent = f"POST {path} HTTP/1.1\r\n" + head.format(kind, ADMIN_KEY)
            if "prometheus" in path:
                versions = (
                    "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Encoding: snappy\r\n"
                )
                sent = sent.replace("Host: x\r\n", "Host: x\r\n" + versions)
            check_problem(await until_closed(await serves.connect(sent.encode())), 408)
    assert service.context.receivers.bodies.refused["slow"] == 2


async def test_a_body_that_nobody_reads_is_ended_too() -> None:
    sent = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\nx")
    async with serving(replace(SHORT, keep_alive_timeout_s=60)) as serves:
        reader = await serves.connect(sent)
        await answer_of(reader)
        closed = asyncio.create_task(until_closed(reader))
        while not closed.done():
            serves.opened[0].write(b"x")
            await asyncio.sleep(0.02)

        assert serves.connections.ended == {"body": 1}


async def test_a_body_in_time_is_read_however_long_its_answer_takes() -> None:
    async with serving(SHORT) as serves:
        sent = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab"
        reader = await serves.connect(sent)
        waiting = await serves.connect(GET.replace(b"/ok", b"/endless"))
        await asyncio.sleep(0.1)
        serves.opened[0].write(b"c")

        assert (await answer_of(reader))[1] == b"3"
        await asyncio.sleep(0.5)
        assert not waiting.at_eof()


async def test_a_head_that_is_too_large_is_refused() -> None:
    async with serving(replace(SHORT, head_timeout_s=10.0)) as serves:
        reader = await serves.connect(GET[:-2])
        answer = asyncio.create_task(until_closed(reader))
        while not answer.done():
            serves.opened[0].write(b"x" * 1024)
            await asyncio.sleep(0)

        assert serves.connections.ended == {"head_size": 1}


async def test_invalid_http_is_refused_with_a_problem() -> None:
    async with serving(SHORT) as serves:
        check_problem(await until_closed(await serves.connect(b"\x16\x03\x01\x02\x00")), 400)


@pytest.mark.parametrize(
    "head",
    [
        "GET /ok HTTP/1.1\r\n\r\n",
        "GET /ok HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /ok HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        CODED.format("identity\r\nTransfer-Encoding: chunked"),
        CODED.format("identity, chunked"),
    ],
)
async def test_a_head_that_others_may_understand_differently_is_refused(head: str) -> None:
    async with serving(SHORT) as serves:
        check_problem(await until_closed(await serves.connect(head.encode())), 400)


async def test_an_old_request_without_a_host_is_answered() -> None:
    async with serving(SHORT) as serves:
        assert b" 200 " in await serves.ask(b"GET /ok HTTP/1.0\r\n\r\n")


async def test_those_who_only_hold_connections_keep_nobody_out() -> None:
    limits = replace(Limits(), connections_max=10, address_max=1000)
    async with serving(limits) as serves:
        held = [await serves.connect(GET[:-2]) for _ in range(50)]
        answers = [await serves.ask() for _ in range(50)]

        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert await until_closed(held[0]) == b""
        assert serves.connections.ended["connections"] >= 90
        assert serves.connections.status()["open"] <= 11


async def test_one_address_holds_only_its_share() -> None:
    limits = replace(Limits(), connections_max=100, address_max=5)
    async with serving(limits) as serves:
        held = [await serves.connect(GET[:-2]) for _ in range(8)]

        for reader in held[:3]:
            assert await until_closed(reader) == b""
        assert serves.connections.ended == {"address": 3}
        assert serves.connections.status()["unidentified"] == 5


async def test_a_trusted_proxy_is_no_address_of_one_client() -> None:
    limits = replace(Limits(), connections_max=100, address_max=5)
    async with serving(limits, ("127.0.0.0/8",)) as serves:
        answers = [await serves.ask() for _ in range(20)]

        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert serves.connections.ended == {}


async def test_a_connection_with_a_valid_key_is_left_alone() -> None:
    limits = replace(Limits(), connections_max=10, address_max=5)
    async with serving(limits) as serves:
        reader = await serves.connect(GET.replace(b"/ok", b"/known"))
        await answer_of(reader)
        for _ in range(30):
            await serves.connect(GET[:-2])
        await serves.ask()
        serves.opened[0].write(GET)

        assert (await answer_of(reader))[1] == b"fine"


async def test_when_nobody_can_give_way_the_answer_is_503() -> None:
    limits = replace(Limits(), connections_max=3, address_max=1000)
    async with serving(limits) as serves:
        for _ in range(3):
            reader = await serves.connect(GET.replace(b"/ok", b"/known"))
            await answer_of(reader)

        answer = await until_closed(await serves.connect(GET))

        check_problem(answer, 503)
        assert b"retry-after" in answer


async def test_the_service_knows_whose_connection_it_is(service: Any) -> None:
    counted = service.context.connections
    port = int(service.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ask = b"GET /api/v1/monitoring HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"

    writer.write(ask % b"wrong")
    assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 401")
    before = counted.status()["unidentified"]
    writer.write(ask % ADMIN_KEY.encode())
    assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 200")

    assert counted.status()["unidentified"] == before - 1
    status = (await service.get("/dev/status", "admin")).body
    assert status["services"]["connections"]["max"] == Limits().connections_max
    writer.close()


async def show_key(scope: Scope) -> None:
    identify(scope, Principal("ana", Role.VIEWER))


async def test_a_connection_that_ends_while_its_key_is_looked_up_holds_no_place() -> None:
    gate = Gate(show_key)
    async with serving(Limits(), app=gate) as serves:
        for _ in range(20):
            await serves.connect(GET)
        await until(lambda: gate.begun == 20)
        for writer in serves.opened:
            writer.transport.abort()
        await until(lambda: serves.connections.status()["open"] == 0)
        gate.opened.set()
        await until(lambda: gate.ended == 20)

        assert serves.connections.status()["identified"] == 0


async def test_a_connection_that_was_told_to_end_holds_no_place() -> None:
    gate = Gate(show_key)
    async with serving(Limits(address_max=1), app=gate) as serves:
        # The rest of its body is awaited, so that it gives way.
        await serves.connect(GET[:-2] + b"Content-Length: 3\r\n\r\na")
        await until(lambda: gate.begun == 1)
        await serves.connect()
        await until(lambda: serves.connections.ended["address"] == 1)
        gate.opened.set()
        await until(lambda: gate.ended == 1)

        assert serves.connections.status()["identified"] == 0


async def test_a_websocket_is_refused_behind_a_request_that_is_not_answered() -> None:
    gate = Gate(show_key)
    async with serving(Limits(), app=gate) as serves:
        reader = await serves.connect(GET + UPGRADE + b"\x81\x80\0\0\0\0")
        await until(lambda: gate.begun == 1)
        gate.opened.set()

        answers = await until_closed(reader)

        assert answers.startswith(b"HTTP/1.1 200")
        check_problem(answers.partition(b"done")[2], 400)
        await until(lambda: serves.connections.status()["open"] == 0)
        assert serves.connections.status()["identified"] == 0


async def test_a_client_that_reads_no_answer_gives_way_to_those_who_ask() -> None:
    ended = asyncio.Event()

    async def large(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1000):
                await send({"type": "http.response.body", "body": LARGE, "more_body": True})
            ended.set()

    async with serving(Limits(address_max=1, stalled_s=0.2), app=large) as serves:
        await serves.connect(GET.replace(b"/ok", b"/large"))
        async with asyncio.timeout(WAIT_S):
            while not ended.is_set():
                await serves.connect()
                await asyncio.sleep(0.02)

        assert serves.connections.status()["unidentified"] <= 1


async def test_a_connection_that_cannot_give_way_is_cut_off_and_harms_no_new_one() -> None:
    async with serving(Limits(address_max=2)) as serves:

        class Broken:
            is_waiting = True

            def __init__(self, transport: asyncio.Transport) -> None:
                self.transport = transport

            def give_way(self) -> None:
                raise RuntimeError("it is in no state for that")

        await serves.connect(GET)
        transport = cast(asyncio.Transport, serves.opened[0].transport)
        serves.connections.admit(Broken(transport), "127.0.0.1", 1)

        for _ in range(5):
            assert (await serves.ask()).startswith(b"HTTP/1.1 200")
        assert transport.is_closing()


@given(st.integers(64, 1 << 20))
def test_clients_leave_files_to_everybody_else(files: int) -> None:
    limits = limits_of(files)

    assert 0 < limits.address_max <= limits.connections_max <= 10_000
    assert limits.connections_max + FILES_RESERVED <= files or files < 2 * FILES_RESERVED
    assert limits.backlog <= 2048


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_of_one_client_are_one(host: str, group: str) -> None:
    address = client_of(host)

    assert address is not None
    assert group_of(address) == group
    assert client_of("/run/socket") is None
