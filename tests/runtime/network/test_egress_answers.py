"""Answers, certificates and broken connections of well-behaved and of hostile servers."""

import asyncio
import gzip
import ssl
import tracemalloc
from collections.abc import AsyncIterator

import pytest
import uvloop

from collectors.probes.certificate import not_after
from runtime.network.egress import BODY_BYTES_MAX, Egress, EgressError, Failure, Trace, open_egress
from tests.collectors.fake_targets import (
    Act,
    close_at_once,
    dripping,
    loopback_egress,
    outside,
    response,
    saying,
    showing,
)

TIMEOUT_S = 5.0
OK = "HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(50_000_000))


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with loopback_egress() as opened:
        yield opened


async def failure_of(egress: Egress, act: Act, trace: Trace | None = None) -> EgressError:
    async with outside(act) as server:
        with pytest.raises(EgressError) as caught:
            await egress.ask(server.url, trace or Trace(), timeout_s=TIMEOUT_S)
    return caught.value


ENDLESS = {
    "length of 10 GiB": dripping(
        f"{OK}Content-Length: {10 << 30}\r\n\r\n".encode(), bytes(9999), 0
    ),
    "chunks": dripping(
        f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"2000\r\n" + bytes(8192) + b"\r\n", 0
    ),
    "until closed": dripping(f"{OK}\r\n".encode(), bytes(9999), 0),
}


@pytest.mark.parametrize("body", ENDLESS)
async def test_the_beginning_of_an_endless_body_is_enough(egress: Egress, body: str) -> None:
    trace = Trace()
    async with outside(ENDLESS[body]) as server:
        answer = await egress.ask(server.url, trace, timeout_s=TIMEOUT_S)

    assert len(answer) == BODY_BYTES_MAX
    assert "transfer" in trace.phases_ms


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_a_compressed_body_is_not_decompressed(egress: Egress, encoding: str) -> None:
    async with outside(saying(response(200, BOMB, f"Content-Encoding: {encoding}"))) as server:
        tracemalloc.start()
        body = await egress.ask(server.url, Trace(), timeout_s=TIMEOUT_S)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert body == BOMB[: len(body)]
    assert len(body) <= BODY_BYTES_MAX
    assert peak_bytes < 2 << 20


async def test_a_plain_body_is_asked_for(egress: Egress) -> None:
    async with outside() as server:
        await egress.ask(server.url, Trace(), timeout_s=TIMEOUT_S)

    assert "Accept-Encoding: identity" in server.heads[0]
    assert "User-Agent: Vigia/" in server.heads[0]


MALFORMED = {
    "one huge header": saying(f"{OK}X-A: {'a' * (1 << 20)}\r\n\r\n".encode()),
    "headers for ever": dripping(OK.encode(), b"X-A: a\r\n" * 100, 0),
    "one header for ever": dripping(f"{OK}X-A: ".encode(), b"a" * 9999, 0),
    "another protocol": saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "two lengths": saying(f"{OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab".encode()),
    "a negative length": saying(f"{OK}Content-Length: -1\r\n\r\n".encode()),
}


@pytest.mark.parametrize("answer", MALFORMED)
async def test_what_is_not_http_is_a_failure(egress: Egress, answer: str) -> None:
    error = await failure_of(egress, MALFORMED[answer])

    assert (error.failure, str(error)) == (Failure.PROTOCOL, "the answer is not valid HTTP")


async def test_a_connection_closed_at_once_is_a_failure_and_not_asked_again(
    egress: Egress,
) -> None:
    async with outside(close_at_once) as server:
        with pytest.raises(EgressError) as caught:
            await egress.ask(server.url, Trace(), timeout_s=TIMEOUT_S)

        assert server.connections == 1
    assert (caught.value.failure, str(caught.value)) == (
        Failure.PROTOCOL,
        "closed without an answer",
    )


async def test_a_body_that_breaks_off_is_a_failure_with_a_status(egress: Egress) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"{OK}Content-Length: 100\r\n\r\nhalf".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    trace = Trace()
    error = await failure_of(egress, break_off, trace)

    assert (error.failure, str(error)) == (Failure.PROTOCOL, "the answer is incomplete")
    assert trace.status == 200


BROKEN_TLS = {
    "expired": "TLS: certificate has expired",
    "foreign": "TLS: IP address mismatch, certificate is not valid for '127.0.0.1'",
}


@pytest.mark.parametrize("certificate", BROKEN_TLS)
async def test_a_certificate_that_fails_is_named_and_shown(
    egress: Egress, certificate: str
) -> None:
    trace = Trace()
    async with outside(tls=showing(certificate)) as server:
        with pytest.raises(EgressError) as caught:
            await egress.ask(server.url, trace, timeout_s=TIMEOUT_S)

    (shown,) = trace.certificates()
    assert (caught.value.failure, str(caught.value)) == (Failure.TLS, BROKEN_TLS[certificate])
    assert not_after(shown).year == {"expired": 2020, "foreign": 2049}[certificate]
    assert server.heads == []


async def test_a_self_signed_certificate_fails_unless_verification_is_off() -> None:
    trace = Trace()
    async with open_egress(["127.0.0.1/32"]) as strict, outside(tls=showing("valid")) as server:
        with pytest.raises(EgressError, match="TLS: self-signed certificate"):
            await strict.ask(server.url, Trace(), timeout_s=TIMEOUT_S)
        body = await strict.ask(server.url, trace, timeout_s=TIMEOUT_S, verify_tls=False)

    assert body == b"well"
    assert [not_after(shown).year for shown in trace.certificates()] == [2099]


async def test_a_server_that_shows_its_certificate_once_is_named_all_the_same(
    egress: Egress,
) -> None:
    trace = Trace()
    async with outside(tls=showing("expired")) as shown:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if server.connections > 1:
                return
            theirs, ours = await asyncio.open_connection("127.0.0.1", shown.port)
            ours.write(await reader.read(BODY_BYTES_MAX))
            writer.write(await theirs.read(BODY_BYTES_MAX))
            await writer.drain()
            await reader.read()
            ours.close()

        async with outside(relay) as server:
            url = server.url.replace("http", "https")
            with pytest.raises(EgressError, match="TLS: certificate has expired"):
                await egress.ask(url, trace, timeout_s=TIMEOUT_S)

            assert server.connections == 2
    assert trace.certificates() == []


async def test_a_server_without_tls_is_a_failure_of_tls(egress: Egress) -> None:
    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(400))
        await writer.drain()
        await reader.read()

    async with outside(complain) as server:
        with pytest.raises(EgressError) as caught:
            await egress.ask(server.url.replace("http", "https"), Trace(), timeout_s=TIMEOUT_S)

    assert (caught.value.failure, str(caught.value)) == (Failure.TLS, "TLS: wrong version number")


async def test_an_old_version_of_tls_is_refused(egress: Egress) -> None:
    old = showing("valid")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with outside(tls=old) as server:
        with pytest.raises(EgressError, match="TLS: ") as caught:
            await egress.ask(server.url, Trace(), timeout_s=TIMEOUT_S)

    assert caught.value.failure is Failure.TLS


async def test_a_handshake_cut_short_is_a_failure_of_tls(egress: Egress) -> None:
    async with outside(close_at_once) as server:
        with pytest.raises(EgressError, match="TLS: ") as caught:
            await egress.ask(server.url.replace("http", "https"), Trace(), timeout_s=TIMEOUT_S)

    assert caught.value.failure is Failure.TLS


async def test_phases_and_failures_are_the_same_on_the_loop_of_the_service() -> None:
    async def ask_both() -> tuple[Trace, str]:
        trace = Trace()
        async with loopback_egress() as egress, outside(tls=showing("valid")) as well:
            url = well.url.replace("127.0.0.1", "localhost")
            await egress.ask(url, trace, timeout_s=TIMEOUT_S)
            async with outside(tls=showing("expired")) as expired:
                with pytest.raises(EgressError) as caught:
                    await egress.ask(expired.url, Trace(), timeout_s=TIMEOUT_S)
        return trace, str(caught.value)

    trace, reason = await asyncio.to_thread(uvloop.run, ask_both())

    assert set(trace.phases_ms) == {"dns", "connect", "tls", "first_byte", "transfer"}
    assert len(trace.certificates()) == 1
    assert reason == "TLS: certificate has expired"
