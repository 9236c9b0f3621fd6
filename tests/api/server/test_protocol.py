"""Hostile heads, trailers and upgrades affect no other client."""

import asyncio
import json
import sys
from types import FrameType
from typing import Any

import pytest
from litestar import Litestar, Request, post
from litestar.types import Receive, Scope, Send

from api.app import create_app
from api.server.connections import Limits
from api.server.protocol import TRAILERS_BYTES_MAX
from tests.api.server.serving import (
    GET,
    UPGRADE,
    WAIT_S,
    Serving,
    answer_of,
    check_problem,
    serving,
    until,
    until_closed,
)

CHUNKED = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * 8190
MALFORMED = {
    "headers": UPGRADE[:-2] + b"A: b\r\n" * 129 + b"\r\n",
    "header": UPGRADE[:-2] + b"A: " + LONG + b"\r\n\r\n",
    "line": UPGRADE.replace(b"/ok", b"/" + LONG),
    "path": UPGRADE.replace(b"/ok", b"/\xc3\xa9"),
    "length": UPGRADE[:-2] + b"Content-Length: 3\r\n\r\nabc",
    "chunks": UPGRADE[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}
MUCH = 2 * TRAILERS_BYTES_MAX


@post("/shown")
async def shown(request: Request[Any, Any, Any]) -> dict[str, Any]:
    await request.body()
    return {"client": request.scope["client"], "key": request.headers.get("authorization")}


async def test_trailers_are_no_headers_of_their_request() -> None:
    app = Litestar([shown], logging_config=None, openapi_config=None)
    trailers = b"X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer key\r\n\r\n"
    async with serving(Limits(), ("127.0.0.0/8",), app) as serves:
        sent = CHUNKED.replace(b"/read", b"/shown") + b"1\r\na\r\n0\r\n" + trailers
        _, body = await answer_of(await serves.connect(sent))

        assert json.loads(body)["client"][0] == "127.0.0.1"
        assert json.loads(body)["key"] is None


@pytest.mark.parametrize("trailers", [b"a:\r\n" * MUCH, b"a: " + b"x" * MUCH, b"a" * MUCH])
async def test_trailers_without_end_are_refused(trailers: bytes) -> None:
    async with serving(Limits()) as serves:
        reader = await serves.connect(CHUNKED + b"1\r\na\r\n0\r\n" + trailers)

        check_problem(await until_closed(reader), 431)
        assert serves.connections.ended == {"head_size": 1}


async def test_trailers_without_end_are_refused_after_the_answer_too() -> None:
    async with serving(Limits()) as serves:
        reader = await serves.connect(CHUNKED.replace(b"POST /read", b"GET /ok") + b"0\r\n")
        assert (await answer_of(reader))[1] == b"fine"
        serves.opened[0].write(b"a:\r\n" * MUCH)

        assert await until_closed(reader) == b""
        assert serves.connections.ended == {"head_size": 1}


async def test_a_body_in_many_short_chunks_is_read_however_it_comes() -> None:
    count = TRAILERS_BYTES_MAX // 4
    async with serving(Limits()) as serves:
        reader = await serves.connect(CHUNKED)
        for _ in range(count):
            serves.opened[0].write(b"1\r\n")
            await asyncio.sleep(0)
            serves.opened[0].write(b"a\r\n")
            await asyncio.sleep(0)
        serves.opened[0].write(b"0\r\nX-Checksum: none\r\n\r\n" + GET)

        assert (await answer_of(reader))[1] == b"%d" % count
        assert (await answer_of(reader))[1] == b"fine"


async def test_invalid_http_is_refused_after_the_responses_to_earlier_requests() -> None:
    async with serving(Limits()) as serves:
        reader = await serves.connect(GET * 3 + b"nonsense\r\n\r\n" + GET)

        answers = await until_closed(reader)

        assert answers.count(b"HTTP/1.1 200") == answers.count(b"HTTP/1.1") == 3
        assert answers.count(b"connection: close") == 1
        assert serves.connections.ended == {"syntax": 1}


async def test_strangers_write_nothing_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    upgrade = GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
    async with serving(Limits()) as serves:
        assert (await serves.ask(upgrade)).startswith(b"HTTP/1.1 200")
        check_problem(await until_closed(await serves.connect(b"nonsense\r\n\r\n")), 400)

    assert caplog.records == []


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_upgrade_is_refused_and_keeps_nobody_out(kind: str) -> None:
    limits = Limits(connections_max=10, address_max=4)
    async with serving(limits) as serves:
        for _ in range(12):
            assert (await until_closed(await serves.connect(MALFORMED[kind]))).startswith(
                b"HTTP/1.1 4"
            )
            assert (await serves.ask()).startswith(b"HTTP/1.1 200")

        await serves.connect(MALFORMED[kind])
        for writer in serves.opened:
            writer.close()
        await until(lambda: serves.connections.status()["open"] == 0)
        assert serves.connections.status()["unidentified"] == 0


async def never(_scope: Any, _receive: Any, _send: Any) -> None:
    """Accept no WebSocket, and answer nothing."""
    await asyncio.Event().wait()


async def test_a_websocket_that_gives_way_before_its_handshake_is_answered_503() -> None:
    async with serving(Limits(address_max=1), app=never) as serves:
        reader = await serves.connect(UPGRADE)
        await until(lambda: serves.connections.status()["unidentified"] == 1)
        await serves.connect(UPGRADE)

        answer = await until_closed(reader)

        check_problem(answer, 503)
        assert b"retry-after" in answer
        assert serves.connections.ended == {"address": 1}


async def test_a_websocket_that_is_not_accepted_has_the_deadline_of_a_head() -> None:
    async with serving(Limits(head_timeout_s=0.2), app=never) as serves:
        check_problem(await until_closed(await serves.connect(UPGRADE)), 503)
        assert serves.connections.ended == {"head": 1}


@pytest.mark.parametrize("kind", ["length", "chunks"])
async def test_an_upgrade_with_a_body_is_refused_with_words(kind: str) -> None:
    async with serving(Limits()) as serves:
        answer = await until_closed(await serves.connect(MALFORMED[kind]))

        check_problem(answer, 400)
        assert b"must not have a body" in answer


def head(*headers: bytes, url: bytes = b"/ok") -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in headers)
    return b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (url, lines)


def padded(size: int, start: bytes = b"A: ") -> bytes:
    """Return a head of so many bytes."""
    return head(start + b"x" * (size - len(head(start))))


URL_MAX, HEAD_MAX, HEADERS_MAX = 8 << 10, 16 << 10, 100


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head(url=b"/ok?" + b"x" * (URL_MAX - 3)), 414),
        (head(*[b"a: b"] * HEADERS_MAX), 431),
        (padded(HEAD_MAX + 20), 431),
        (padded(HEAD_MAX + 20)[:-4], 431),
        (head(*[b"a: " + b"x" * 200] * 80), 431),
        (UPGRADE[:-2] + b"a: b\r\n" * HEADERS_MAX + b"\r\n", 431),
    ],
)
async def test_a_head_beyond_a_limit_is_refused(sent: bytes, status: int) -> None:
    async with serving(Limits()) as serves:
        check_problem(await until_closed(await serves.connect(sent)), status)
        assert serves.connections.ended == {"head_size": 1}


@pytest.mark.parametrize("size", [1000, 4095, 4097, 1 << 20])
async def test_a_head_within_the_limits_is_answered_however_it_is_cut(size: int) -> None:
    async with serving(Limits()) as serves:
        for sent in (
            head(url=b"/ok?" + b"x" * (URL_MAX - 4)),
            head(*[b"a: b"] * (HEADERS_MAX - 1)),
            padded(HEAD_MAX),
        ):
            reader, whole = await serves.connect(), sent + GET
            for at in range(0, len(whole), size):
                serves.opened[-1].write(whole[at : at + size])
                await asyncio.sleep(0.001)
            assert (await answer_of(reader))[1] == (await answer_of(reader))[1] == b"fine"


CALLS_MAX = 100_000
"""Function calls in one turn of the event loop. They take about 5 ms, whatever else runs."""
WORST = {
    "path": head(url=b"/" + b"%" * (URL_MAX - 1)),
    "path of a WebSocket": UPGRADE.replace(b"/ok", b"/" + b"%" * (URL_MAX - 100)),
    "encodings": padded(HEAD_MAX, b"Accept-Encoding: ").replace(b"x" * 9, b"," * 9),
    "protocols": UPGRADE[:-2] + b"Sec-WebSocket-Protocol: %b\r\n\r\n" % (b"a," * 4000),
    "headers": head(*[b"a: " + b"x" * 140] * (HEADERS_MAX - 1)),
}


@pytest.mark.parametrize("kind", WORST)
async def test_no_head_holds_the_loop_for_longer_than_it_may(service: Any, kind: str) -> None:
    async with serving(Limits(), app=create_app(service.context)) as serves:
        assert 0 < await calls_of_longest_turn(serves, WORST[kind]) < CALLS_MAX


async def calls_of_longest_turn(serves: Serving, sent: bytes) -> int:
    """Return the largest number of function calls between two turns of this task."""
    reader = await serves.connect(sent)
    answered = asyncio.create_task(reader.readuntil(b"\r\n"))
    longest = 0
    while not answered.done():
        calls = 0

        def count(_frame: FrameType, event: str, _arg: object) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            await asyncio.sleep(0)
        finally:
            sys.setprofile(None)
        longest = max(longest, calls)
    return longest


async def test_a_client_that_expects_to_be_told_to_go_on_is_told() -> None:
    expects = b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving(Limits()) as serves:
        reader = await serves.connect(b"POST /read HTTP/1.1\r\n" + expects)
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        serves.opened[0].write(b"abc")

        assert (await answer_of(reader))[1] == b"3"


async def test_a_websocket_behind_an_answer_that_nobody_reads_gives_way_at_once() -> None:
    asked: list[str] = []

    async def large(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": bytes(16 << 20), "more_body": False})
        asked.append(scope["type"])
        await asyncio.Event().wait()

    async with serving(Limits(address_max=1), app=large) as serves:
        await serves.connect(GET)
        await until(lambda: asked == ["http"])
        serves.opened[0].write(UPGRADE)
        await until(lambda: asked == ["http", "websocket"])
        await serves.connect()

        # Much sooner than the kernel gives it up.
        async with asyncio.timeout(WAIT_S / 3):
            await until(lambda: serves.connections.status()["open"] == 1)
