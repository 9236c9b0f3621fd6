"""Pipelined requests: all are answered, and few are buffered."""

import asyncio
import gc

from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from api.server.connections import Limits
from api.server.protocol import PIPELINED_MAX
from tests.api.server.serving import GET, WAIT_S, answer_of, serving, until_closed

MANY = 3000


def by_length(body: bytes) -> bytes:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def by_chunks(body: bytes) -> bytes:
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = len(body) // 2
    parts = [part for part in (body[:half], body[half:]) if part]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


bodies = st.one_of(
    st.binary(max_size=30),
    st.integers(0, 200_000).map(lambda size: b"x" * size),
    st.lists(st.sampled_from([b"\r\n", b"\r\n\r\n", b"a", GET]), max_size=20).map(b"".join),
)


async def test_few_requests_of_one_connection_are_kept_at_a_time() -> None:
    async with serving(Limits()) as serves:
        before = len(cycles())
        await serves.connect(GET.replace(b"/ok", b"/endless") + GET * MANY)
        # A connection that came later is served once everything above was read.
        for _ in range(5):
            assert (await serves.ask()).startswith(b"HTTP/1.1 200")

        assert len(cycles()) - before <= PIPELINED_MAX + 10


def cycles() -> list[RequestResponseCycle]:
    """Return the requests that are kept, those of earlier tests included."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]


async def test_all_requests_of_one_connection_are_answered_in_order() -> None:
    async with serving(Limits()) as serves:
        reader = await serves.connect(
            b"".join(by_length(b"x" * size) + b"\r\n\r\n" + GET for size in range(500))
        )

        for size in range(500):
            assert (await answer_of(reader))[1] == b"%d" % size
            assert (await answer_of(reader))[1] == b"fine"


async def test_nothing_is_parsed_after_a_request_that_is_no_http() -> None:
    async with serving(Limits()) as serves:
        reader = await serves.connect(GET)
        await answer_of(reader)
        serves.opened[0].write(b"nonsense\r\n\r\n" + GET * 10)

        answers = await until_closed(reader)

        assert answers.startswith(b"HTTP/1.1 400")
        assert b"HTTP/1.1 200" not in answers


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), bodies), min_size=1, max_size=12), st.data())
async def test_answers_are_the_same_however_requests_are_cut(
    asked: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    sent = b"".join((by_chunks if chunked else by_length)(body) for chunked, body in asked)
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=5).map(sorted))
    parts = [sent[at:to] for at, to in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    async with serving(Limits()) as serves:
        reader = await serves.connect()
        reading = asyncio.create_task(_lengths(reader, len(asked)))
        for part in parts:
            serves.opened[0].write(part)
            await serves.opened[0].drain()
            await asyncio.sleep(0)

        assert await asyncio.wait_for(reading, WAIT_S) == [len(body) for _, body in asked]


async def _lengths(reader: asyncio.StreamReader, count: int) -> list[int]:
    return [int((await answer_of(reader))[1]) for _ in range(count)]
