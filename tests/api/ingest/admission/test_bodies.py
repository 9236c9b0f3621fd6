"""Bodies are decoded under limits: a body that is too large is refused before it takes memory."""

import asyncio
import gzip
import io
import os
import threading
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import cramjam
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from litestar import Request, post

from accounts import keys
from api.ingest.admission.bodies import (
    DECODED_BYTES_MAX,
    HELD_BYTES_MAX,
    SLOW_S,
    WIRE_BYTES_MAX,
    Bodies,
    BodyError,
    Encoding,
    decode,
    encoding_of,
)
from api.ingest.admission.room import HeldBytes
from model.errors import UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from tests.api.conftest import ADMIN_KEY
from tests.api.ingest.memory import little_memory

PATH = "/api/v1/monitoring/ingest/otlp/v1/metrics"
MIB = 2**20
GROWTH_BYTES_MAX = 40 * MIB
ALL = tuple(Encoding)


def compressed(body: bytes, encoding: Encoding) -> bytes:
    match encoding:
        case Encoding.GZIP:
            return gzip.compress(body, 1)
        case Encoding.ZSTD:
            return bytes(cramjam.zstd.compress(body))
        case Encoding.SNAPPY:
            return bytes(cramjam.snappy.compress_raw(body))
    return body


def endless_zstd(size: int) -> bytes:
    """A frame of runs of one byte that does not say how long it is."""
    run = 128 << 10
    blocks = [((run << 3) | 2 | (at + run >= size)).to_bytes(3, "little") + b"a"
              for at in range(0, size, run)]  # fmt: skip
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(blocks)


def streamed_zstd(body: bytes) -> bytes:
    """A frame of the same content that does not say how long it is."""
    blocks = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    headers = [(len(b) << 3 | (at == len(blocks) - 1)) for at, b in enumerate(blocks)]
    parts = [h.to_bytes(3, "little") + b for h, b in zip(headers, blocks, strict=True)]
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(parts)


ZEROS_GZIP = gzip.compress(bytes(100 * MIB))
BOMBS = {
    "gzip": (ZEROS_GZIP, Encoding.GZIP, 413),
    "gzip that says it is short": (ZEROS_GZIP[:-4] + bytes([5, 0, 0, 0]), Encoding.GZIP, 400),
    "gzip of many members": (gzip.compress(b"a") * 1000, Encoding.GZIP, 400),
    "gzip of zeros in zeros": (gzip.compress(bytes(9 * MIB)), Encoding.GZIP, 413),
    "snappy": (compressed(bytes(40 * MIB), Encoding.SNAPPY), Encoding.SNAPPY, 413),
    "snappy of 5 bytes": (b"\x80\x80\x80\x80\x01", Encoding.SNAPPY, 400),
    "snappy that promises all that is allowed": (b"\x80\x80\x80\x10", Encoding.SNAPPY, 400),
    "snappy that promises too much": (b"\x80\x80\x40" + bytes(100), Encoding.SNAPPY, 400),
    "zstd": (compressed(bytes(100 * MIB), Encoding.ZSTD), Encoding.ZSTD, 413),
    "zstd of 10 GB": (endless_zstd(10 << 30), Encoding.ZSTD, 400),
    "zstd with a window of 1 GB": (b"\x28\xb5\x2f\xfd\x00\xa0" + bytes(9), Encoding.ZSTD, 413),
}


@pytest.mark.parametrize("encoding", ALL)
@pytest.mark.parametrize("size", [0, 1, 300, 70_000, 5 * MIB])
def test_a_compressed_body_is_decoded(encoding: Encoding, size: int) -> None:
    body = os.urandom(size)

    assert decode(compressed(body, encoding), encoding)[:] == body


def test_zstd_need_not_say_how_long_it_is() -> None:
    body = os.urandom(300_000)

    assert decode(streamed_zstd(body), Encoding.ZSTD)[:] == body


def test_a_body_within_the_limits_is_decoded_completely() -> None:
    for encoding, period in ((Encoding.ZSTD, MIB), (Encoding.SNAPPY, 8192)):
        body = os.urandom(period) * (DECODED_BYTES_MAX // period)
        assert decode(compressed(body, encoding), encoding)[:] == body
        with pytest.raises(BodyError, match="32 MiB"):
            decode(compressed(body + b"x", encoding), encoding)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_without_its_memory(name: str) -> None:
    body, encoding, status = BOMBS[name]

    with little_memory(GROWTH_BYTES_MAX), pytest.raises(BodyError) as refused:
        decode(body, encoding)

    assert refused.value.status_code == status


@pytest.mark.parametrize("encoding", [Encoding.GZIP, Encoding.ZSTD, Encoding.SNAPPY])
def test_every_truncation_is_refused(encoding: Encoding) -> None:
    body = compressed(os.urandom(20) + b"abc" * 20, encoding)

    for length in range(len(body)):
        with pytest.raises(BodyError) as refused:
            decode(body[:length], encoding)
        assert refused.value.status_code in {400, 413}


@given(st.binary(max_size=200), st.sampled_from(ALL[1:]))
@example(b"\x28\xb5\x2f\xfd\xff", Encoding.ZSTD)
@example(b"\x28\xb5\x2f\xfd\xe3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", Encoding.ZSTD)
@example(b"\x1f\x8b", Encoding.GZIP)
def test_any_bytes_are_decoded_or_refused(body: bytes, encoding: Encoding) -> None:
    try:
        decode(body, encoding)
    except BodyError as error:
        refused = error.status_code
        assert refused in {400, 413}


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(1, 255))
def test_a_damaged_body_is_refused_or_passes_its_checksum(body: bytes, at: int, flip: int) -> None:
    damaged = bytearray(gzip.compress(body))
    damaged[at % len(damaged)] ^= flip
    try:
        assert decode(bytes(damaged), Encoding.GZIP) == body
    except BodyError as error:
        refused = error.status_code
        assert refused in {400, 413}


def test_a_damaged_length_of_snappy_is_no_large_body() -> None:
    body = compressed(b"abc" * 100, Encoding.SNAPPY)

    with pytest.raises(BodyError, match="not valid snappy") as refused:
        decode(b"\xff" + body[1:], Encoding.SNAPPY)

    assert refused.value.status_code == 400


def test_only_one_encoding_of_those_offered_is_taken() -> None:
    offered = (Encoding.IDENTITY, Encoding.GZIP)

    assert encoding_of("", offered) is Encoding.IDENTITY
    assert encoding_of("", (Encoding.SNAPPY,)) is Encoding.SNAPPY
    assert encoding_of(" GZip ", offered) is Encoding.GZIP
    for header in ("gzip, gzip", "zstd", "br", "deflate", "x-gzip", "gzip;q=1", "\x00"):
        with pytest.raises(BodyError, match="identity or gzip") as refused:
            encoding_of(header, offered)
        assert refused.value.status_code == 415


async def read_in_main_thread(body: bytes, encoding: Encoding) -> bool:
    """Read a body with a limit of 10 bytes for what is read on the event loop itself."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = {"content-length": len(body), "content-encoding": encoding}
    scope = {
        "type": "http",
        "headers": [(name.encode(), str(text).encode()) for name, text in headers.items()],
        "user": Principal("probe", Role.INGEST),
        "route_handler": post(request_max_body_size=None)(read_in_main_thread),
    }
    request: Any = Request(scope, receive)  # type: ignore[arg-type]
    return await Bodies().read(
        request, ALL, lambda _: threading.current_thread() is threading.main_thread(), 10
    )


async def test_the_event_loop_itself_reads_short_bodies_alone() -> None:
    assert await read_in_main_thread(b"x" * 10, Encoding.IDENTITY)
    assert not await read_in_main_thread(b"x" * 11, Encoding.IDENTITY)
    assert not await read_in_main_thread(compressed(b"", Encoding.SNAPPY), Encoding.SNAPPY)


async def send(service: Any, data: Any, **headers: str) -> tuple[int, bytes]:
    given_headers = {
        "Authorization": f"Bearer {service.keys['ingest']}",
        "Content-Type": "application/x-protobuf",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    sent = io.BytesIO(data) if isinstance(data, bytes) else data
    async with service.http.post(service.url + PATH, data=sent, headers=given_headers) as answer:
        return answer.status, await answer.read()


async def test_a_server_answers_twenty_bombs_at_once(service: Any) -> None:
    names = [name for name, bomb in BOMBS.items() if bomb[1] is not Encoding.SNAPPY] * 3

    with little_memory(GROWTH_BYTES_MAX):
        answers = await asyncio.gather(
            *(send(service, BOMBS[name][0], Content_Encoding=BOMBS[name][1]) for name in names)
        )

    assert len(names) >= 20
    assert [status for status, _ in answers] == [BOMBS[name][2] for name in names]


async def test_a_body_may_have_four_mebibytes_on_the_wire(service: Any) -> None:
    # Field 15 of the request, which nobody knows.
    most = b"\x7a" + bytes([0xFA, 0xFF, 0xFF, 0x01]) + bytes(WIRE_BYTES_MAX - 5)
    assert (await send(service, most))[0] != 413

    async def chunks() -> Any:
        for at in range(0, len(most) + MIB, MIB):
            yield most[at : at + MIB] or bytes(MIB)

    refused = service.context.receivers.bodies.refused["wire"]
    assert (await send(service, most + b"x"))[0] == 413
    assert (await send(service, chunks()))[0] == 413
    assert service.context.receivers.bodies.refused["wire"] == refused + 2


async def test_a_body_in_another_encoding_is_refused_and_counted(service: Any) -> None:
    refused = service.context.receivers.bodies.refused

    before = refused["encoding"]
    status, body = await send(service, b"", Content_Encoding="snappy")

    assert status == 415
    assert b"identity or gzip or zstd" in body
    assert refused["encoding"] == before + 1


async def test_when_no_room_is_left_for_bodies_they_are_to_be_sent_again(service: Any) -> None:
    bodies = service.context.receivers.bodies
    held, before = bodies._held, bodies.refused["held"]

    free, held.free = held.free, 10
    try:
        assert (await send(service, b""))[0] == 200
        assert (await send(service, bytes(11)))[0] == 503
    finally:
        held.free += free - 10

    assert held.free == HELD_BYTES_MAX
    assert bodies.refused["held"] == before + 1


def test_each_key_leaves_half_of_the_remaining_memory_to_others() -> None:
    held = HeldBytes(100)
    with held.holder("ana") as take, held.holder("ana") as take_more, held.holder("bob") as other:
        take(30)
        take_more(20)
        with pytest.raises(UnavailableError):
            take(1)
        other(25)
        with pytest.raises(UnavailableError):
            other(1)
        with held.holder("eve") as third:
            third(12)
        take(0)
    assert held.free == 100
    with held.holder("ana") as take:
        take(50)


@pytest.mark.parametrize(
    "length", ["Transfer-Encoding: chunked", f"Content-Length: {WIRE_BYTES_MAX}"]
)
async def test_bodies_of_one_key_that_dribble_keep_no_other_key_out(
    service: Any, length: str
) -> None:
    other = await service.new_key("other", Role.INGEST)
    many = HELD_BYTES_MAX // WIRE_BYTES_MAX + 1
    address = urlsplit(service.url).hostname, urlsplit(service.url).port
    slow = [(await asyncio.open_connection(*address))[1] for _ in range(many)]
    for writer in slow:
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
            f"Authorization: Bearer {service.keys['ingest']}\r\n{length}\r\n\r\n1\r\n".encode()
        )
        await writer.drain()
    await asyncio.sleep(0.1)

    # Field 15 of the request, which nobody knows.
    large = b"\x7a" + bytes([0x80, 0x80, 0x40]) + bytes(MIB)
    assert (await send(service, large, Authorization=f"Bearer {other}"))[0] == 200
    for writer in slow:
        writer.close()
        await writer.wait_closed()


async def test_bodies_that_never_come_do_not_keep_others_out(service: Any) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        f"Authorization: Bearer {service.keys['ingest']}\r\n"
        f"Content-Length: {WIRE_BYTES_MAX}\r\n\r\n"
    )
    host, port = urlsplit(service.url).hostname, urlsplit(service.url).port
    slow = [await asyncio.open_connection(host, port) for _ in range(2)]
    for _, writer in slow:
        writer.write(head.encode() + b"\x7a")
        await writer.drain()
    await asyncio.sleep(0.1)

    # Field 15 of the request, which nobody knows.
    large = b"\x7a" + bytes([0x80, 0x80, 0x40]) + bytes(MIB)
    began = time.monotonic()
    assert (await send(service, large))[0] == 200
    assert time.monotonic() - began < 2 * SLOW_S + 2
    for _, writer in slow:
        writer.close()
        await writer.wait_closed()


def test_zlib_itself_would_have_taken_the_memory() -> None:
    """So the tests above test something."""
    with pytest.raises(AssertionError), little_memory(GROWTH_BYTES_MAX):
        zlib.decompress(ZEROS_GZIP, 31)


async def test_a_key_that_is_named_as_the_bootstrap_key_takes_nothing_of_its_memory(
    service: Any,
) -> None:
    async with service.context.connect() as connection:
        await keys.revoke(connection, "admin", utc_now(), "test")
    named = await service.new_key("admin", Role.INGEST)
    held, stop = service.context.receivers.bodies._held, asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"\x7a"
        await stop.wait()

    sending = [
        asyncio.create_task(send(service, slow(), Authorization=f"Bearer {key}"))
        for key in (named, ADMIN_KEY)
    ]
    async with asyncio.timeout(10):
        while held.free != HELD_BYTES_MAX - 2:
            await asyncio.sleep(0.01)
    seen = set(held._by_key)
    stop.set()
    await asyncio.gather(*sending)

    assert seen == {"ingest admin", "admin admin"}
    assert held.free == HELD_BYTES_MAX
