"""Limits of what WebSocket clients may send, before and after authentication."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator

import pytest

from api.server.connections import Connections
from api.server.connections import Limits as ConnectionLimits
from api.server.websocket_protocol import (
    FRAGMENTS_MAX,
    FRAMES_BURST,
    UNIDENTIFIED_BYTES_MAX,
    UNIDENTIFIED_FRAMES_MAX,
)
from db.queries import Pool
from live.client import Limits
from tests.live.stream import ADMIN_KEY, WAIT_S, Service, message, running, until

TEXT, CONTINUED, PING, PONG = 1, 0, 9, 10
LAG_S_MAX = 0.2
SHOWN = f"Authorization: Bearer {ADMIN_KEY}\r\n"


@pytest.fixture
async def service(pool: Pool) -> AsyncIterator[Service]:
    async with running(pool, Limits()) as found:
        yield found


def frame(opcode: int, data: bytes = b"", *, is_last: bool = True) -> bytes:
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([0x80 * is_last | opcode]) + size + bytes(4) + data


AUTH = frame(TEXT, json.dumps({"type": "auth", "token": ADMIN_KEY}).encode())


class Wire:
    """A connection that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(WAIT_S):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                [size] = struct.unpack(">H", await self.reader.readexactly(2))
            elif size == 127:
                [size] = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 15, await self.reader.readexactly(size)

    async def close_code(self) -> int | None:
        """Read to the end; None where it came without a close frame."""
        try:
            while True:
                opcode, data = await self.frame()
                if opcode == 8:
                    return int.from_bytes(data[:2])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


async def wire(service: Service, shown: str = "", sent: bytes = b"") -> Wire:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    service.opened.append(writer)
    head = (
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{shown}\r\n"
    )
    writer.write(head.encode() + sent)
    async with asyncio.timeout(WAIT_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return Wire(reader, writer)


async def longest_lag(until_done: asyncio.Task[int | None]) -> float:
    """Return for how long other work of the loop waited at most, until a task is done."""
    loop, longest = asyncio.get_running_loop(), 0.0
    while not until_done.done():
        began = loop.time()
        await asyncio.sleep(0)
        longest = max(longest, loop.time() - began)
    return longest


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_client_that_is_not_known_cannot_flood(service: Service, opcode: int) -> None:
    ws = await wire(service)

    ws.writer.write(frame(opcode) * 30_000)
    ended = asyncio.create_task(ws.close_code())

    assert await longest_lag(ended) < LAG_S_MAX
    assert ended.result() in {1008, None}
    assert service.connections.ended == {"frames": 1}


@pytest.mark.parametrize(
    "sent",
    [
        frame(PONG) * (UNIDENTIFIED_FRAMES_MAX + 1),
        frame(TEXT, b"x" * UNIDENTIFIED_BYTES_MAX),
        frame(TEXT, is_last=False) + frame(CONTINUED, is_last=False) * UNIDENTIFIED_FRAMES_MAX,
    ],
)
async def test_a_client_that_is_not_known_may_send_one_short_message(
    service: Service, sent: bytes
) -> None:
    ws = await wire(service)

    ws.writer.write(sent)

    assert await ws.close_code() == 1008


@pytest.mark.parametrize("shown", ["", SHOWN])
async def test_messages_sent_with_the_key_wait_until_the_client_is_authenticated(
    service: Service, shown: str
) -> None:
    pings = frame(TEXT, b'{"type":"ping"}') * 20
    subscribe = {"type": "subscribe", "components": ["x" * 100] * 190}
    long = frame(TEXT, json.dumps(subscribe).encode())

    ws = await wire(service, shown, (b"" if shown else AUTH) + long + pings)

    pongs = 0
    while pongs < 20:
        opcode, data = await ws.frame()
        assert opcode == TEXT
        pongs += json.loads(data)["type"] == "pong"
    ws.writer.close()


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_client_that_is_known_has_a_budget_of_frames(service: Service, opcode: int) -> None:
    ws = await wire(service, SHOWN)
    await until(lambda: service.live.clients == 1)

    ws.writer.write(frame(opcode) * (FRAMES_BURST - 100))
    await asyncio.sleep(0.1)
    assert service.live.clients == 1
    ws.writer.write(frame(opcode) * 30_000)
    ended = asyncio.create_task(ws.close_code())

    assert await longest_lag(ended) < LAG_S_MAX
    assert ended.result() in {1008, None}
    await until(lambda: service.live.clients == 0)


async def test_a_message_in_endlessly_many_frames_is_refused(service: Service) -> None:
    ws = await wire(service, SHOWN)
    await until(lambda: service.live.clients == 1)
    ws.writer.write(frame(TEXT, is_last=False))
    closed = asyncio.create_task(ws.close_code())
    # More slowly than the budget of frames.
    for _ in range(FRAGMENTS_MAX // 64 + 1):
        ws.writer.write(frame(CONTINUED, is_last=False) * 64)
        await asyncio.sleep(0.1)

    assert await closed == 1008


async def test_websockets_without_a_key_count_as_connections_of_their_address(pool: Pool) -> None:
    counted = Connections(ConnectionLimits(address_max=5))
    async with running(pool, Limits(), counted) as service:
        opened = [await wire(service) for _ in range(8)]

        assert [await ws.close_code() for ws in opened[:3]] == [1013] * 3
        assert service.live.unauthenticated == 5
        opened[3].writer.write(AUTH)
        assert json.loads((await opened[3].frame())[1])["type"] == "hello"
        await wire(service)
        await until(lambda: service.live.unauthenticated == 5)
        assert counted.status()["unidentified"] == 5
        assert counted.ended == {"address": 3}


async def test_a_text_that_is_not_utf8_is_no_error_of_ours(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    unauthenticated, known = await wire(service), await wire(service, SHOWN)
    for ws in (unauthenticated, known):
        ws.writer.write(frame(TEXT, b"\xff\xfe"))

    assert [await ws.close_code() for ws in (unauthenticated, known)] == [1007, 1007]
    await until(lambda: service.live.clients == service.live.unauthenticated == 0)
    assert service.connections.ended == {"syntax": 2}
    assert caplog.records == []


@pytest.mark.parametrize(
    "sent", [frame(CONTINUED), frame(3), b"\x81\x00", frame(TEXT, b"x" * 65_000) * 2]
)
async def test_a_violation_of_the_protocol_is_no_error_of_the_service(
    service: Service,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    sent: bytes,
) -> None:
    ws, _ = await service.listen()
    broken = await wire(service, SHOWN)
    await until(lambda: service.live.clients == 2)
    broken.writer.write(sent)

    for number in range(50):
        await service.announce(("alert_resolved", {"id": number, "component": "server"}))
        await message(ws)
    broken.writer.close()

    await until(lambda: service.live.clients == 1)
    assert caplog.records == []
    assert "stream_failed" not in capsys.readouterr().out
