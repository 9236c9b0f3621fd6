"""Requests reach allowed addresses only, and no server can delay Vigia or fill its memory."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime.network.egress import Egress, EgressError, Failure, Trace, open_egress
from tests.collectors.fake_targets import (
    Act,
    dripping,
    loopback_egress,
    outside,
    redirecting,
    response,
    saying,
    showing,
    silence,
)

TIMEOUT_S = 5.0
SHORT_S = 0.2
OK = "HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    """A client that may connect to loopback, and trusts the certificates of the tests."""
    async with loopback_egress() as opened:
        yield opened


async def failure_of(
    egress: Egress, url: str, trace: Trace | None = None, timeout_s: float = TIMEOUT_S
) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await egress.ask(url, trace or Trace(), timeout_s=timeout_s)
    return caught.value


async def test_an_answer_has_its_body_status_and_phases_each_time(egress: Egress) -> None:
    async with outside() as server:
        for _ in range(2):
            trace = Trace()
            url = server.url.replace("127.0.0.1", "localhost")
            body = await egress.ask(url, trace, timeout_s=TIMEOUT_S)

            assert (body, trace.status) == (b"well", 200)
            assert set(trace.phases_ms) == {"dns", "connect", "first_byte", "transfer"}
            assert trace.latency_ms == sum(trace.phases_ms.values())


async def test_phases_are_real(egress: Egress) -> None:
    async def take_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(f"{OK}Content-Length: 2\r\n\r\na".encode())
        await asyncio.sleep(0.2)
        writer.write(b"b")

    trace, started_s = Trace(), time.perf_counter()
    async with outside(take_time, tls=showing("valid")) as server:
        await egress.ask(server.url, trace, timeout_s=TIMEOUT_S)
    passed_ms = (time.perf_counter() - started_s) * 1000

    assert set(trace.phases_ms) == {"connect", "tls", "first_byte", "transfer"}
    assert trace.phases_ms["first_byte"] >= 99
    assert trace.phases_ms["transfer"] >= 199
    assert 299 <= sum(trace.phases_ms.values()) <= trace.latency_ms + 1 <= passed_ms + 1


async def test_phases_of_redirects_add_up_on_fresh_connections(egress: Egress) -> None:
    trace = Trace()
    async with outside() as last, outside(redirecting(last.url)) as first:
        assert await egress.ask(first.url, trace, timeout_s=TIMEOUT_S) == b"well"
        await egress.ask(last.url, Trace(), timeout_s=TIMEOUT_S)

    assert trace.status == 200
    assert (first.connections, last.connections) == (1, 2)


SPELLINGS = """
    http://127.0.0.1 http://127.1 http://127.0.1 http://2130706433 http://0x7f000001 http://0x7f.1
    http://0177.0.0.1 http://017700000001 http://127.0.0.1. http://0.0.0.0 http://0 http://localhost
    http://LOCALHOST http://localhost. http://user:word@127.0.0.1 http://example.com@127.0.0.1
    HTTP://127.0.0.1 http://①②⑦.⓪.⓪.① http://127。0。0。1 http://%31%32%37.0.0.1
    http://[::1] http://[0:0:0:0:0:0:0:1] http://[::] http://[::ffff:127.0.0.1]
    http://[::ffff:7f00:1] http://[::127.0.0.1] http://[64:ff9b::7f00:1] http://[2002:7f00:1::]
    https://127.0.0.1 https://localhost https://[::1] http://127.0.0.2
"""


@pytest.mark.parametrize("spelling", SPELLINGS.split())
async def test_no_spelling_of_a_private_address_is_connected_to(spelling: str) -> None:
    async with (
        open_egress() as closed,
        outside(hosts=("127.0.0.1", "127.0.0.2", "::1")) as canary,
    ):
        error = await failure_of(closed, f"{spelling}:{canary.port}/secret")

        assert error.failure in {Failure.ADDRESS, Failure.URL, Failure.DNS}
        assert canary.connections == 0


async def test_no_allowed_network_holds_its_own_port() -> None:
    async with outside() as canary, open_egress(["127.0.0.0/8"], [("", canary.port)]) as own:
        error = await failure_of(own, canary.url)

        assert error.failure is Failure.ADDRESS
        assert str(error).endswith("belongs to Vigia or its database, and cannot be a target")
        assert canary.connections == 0


async def test_the_canary_would_have_been_heard(egress: Egress) -> None:
    async with outside() as canary:
        await egress.ask(canary.url, Trace(), timeout_s=TIMEOUT_S)

        assert canary.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest",
        "http://10.0.0.1/",
        "https://192.168.1.1/",
        "http://100.100.100.200/",
    ],
)
async def test_a_refused_address_says_so_and_how_to_allow_it(egress: Egress, url: str) -> None:
    error = await failure_of(egress, url)

    assert error.failure is Failure.ADDRESS
    assert str(error).endswith("is not a public address; VIGIA_EGRESS_ALLOW can allow it")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1/",
        "http://",
        "http://a..b/",
        f"http://{'a' * 64}.test/",
        "http://127.0.0.1:99999/",
    ],
)
async def test_an_address_that_is_not_http_is_a_failure(egress: Egress, url: str) -> None:
    assert (await failure_of(egress, url)).failure is Failure.URL


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name stand for these addresses."""

    def answer(_: str, port: int, *__: object, **___: object) -> list[Any]:
        stream = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*stream, (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


async def test_a_name_is_judged_by_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_egress() as closed, outside() as canary:
        resolving(monkeypatch, "127.0.0.1", "10.0.0.1")
        error = await failure_of(closed, f"http://rebound.test:{canary.port}/")

        assert error.failure is Failure.ADDRESS
        assert canary.connections == 0


async def test_a_name_with_an_allowed_address_is_reached_there(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with outside() as server:
        resolving(monkeypatch, "10.0.0.1", "127.0.0.1")
        url = f"http://mixed.test:{server.port}/"

        assert await egress.ask(url, Trace(), timeout_s=TIMEOUT_S) == b"well"
    assert (await failure_of(egress, url)).failure is Failure.REFUSED


async def test_three_redirects_are_followed_and_a_fourth_is_not(egress: Egress) -> None:
    async with outside() as last, outside(redirecting("/1", "/2", last.url)) as three:
        assert await egress.ask(three.url, Trace(), timeout_s=TIMEOUT_S) == b"well"
    async with outside(redirecting("/again")) as loop:
        error = await failure_of(egress, loop.url)

        assert (error.failure, str(error)) == (Failure.REDIRECT, "more than 3 redirects")
        assert loop.connections == 4


async def test_a_redirect_that_is_not_to_be_followed_is_the_answer(egress: Egress) -> None:
    trace = Trace()
    async with outside() as canary, outside(redirecting(canary.url)) as server:
        await egress.ask(server.url, trace, timeout_s=TIMEOUT_S, follow=False)

        assert trace.status == 302
        assert canary.connections == 0


@pytest.mark.parametrize(
    ("location", "failure"),
    [
        ("http://169.254.169.254/latest/meta-data/", Failure.ADDRESS),
        ("http://[::1]:1/", Failure.ADDRESS),
        ("//10.0.0.1/", Failure.ADDRESS),
        ("file:///etc/passwd", Failure.REDIRECT),
        ("gopher://127.0.0.1/", Failure.REDIRECT),
        ("http://[", Failure.REDIRECT),
    ],
)
async def test_a_redirect_to_a_refused_address_is_refused(
    egress: Egress, location: str, failure: Failure
) -> None:
    async with outside(redirecting(location)) as server:
        assert (await failure_of(egress, server.url)).failure is failure


async def test_credentials_go_to_their_own_host_only(egress: Egress) -> None:
    async with outside(hosts=("127.0.0.2",)) as other, outside() as own:
        locations = ["/same", f"http://127.0.0.2:{other.port}/"]

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await own.heard(reader)
            writer.write(response(302, b"", f"Location: {locations.pop(0)}"))
            await writer.drain()

        own.act = redirect
        await egress.ask(own.url.replace("//", "//user:word@"), Trace(), timeout_s=TIMEOUT_S)

    assert all("Authorization: Basic" in head for head in own.heads)
    assert "Authorization" not in other.heads[0]


async def test_no_cookie_is_kept(egress: Egress) -> None:
    async with outside(saying(response(200, b"", "Set-Cookie: secret=1; Path=/"))) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        await egress.ask(url, Trace(), timeout_s=TIMEOUT_S)
        server.act = server.answer
        await egress.ask(url, Trace(), timeout_s=TIMEOUT_S)

    assert "Cookie" not in server.heads[0]


async def test_no_proxy_is_used(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    async with outside() as canary, outside() as server:
        for variable in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(variable, canary.url)
        await egress.ask(server.url, Trace(), timeout_s=TIMEOUT_S)

        assert canary.connections == 0


TARPITS = {
    "no answer": silence,
    "slow status": dripping(b"HTTP/1.1 200 O"),
    "slow headers": dripping(f"{OK}X-A: ".encode()),
    "slow body": dripping(f"{OK}Content-Length: 100000\r\n\r\n".encode()),
    "slow chunks": dripping(f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"1\r\nx\r\n"),
    "informed for ever": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


async def check_tarpit(egress: Egress, act: Act, scheme: str) -> None:
    """Hold that we leave in time, and that the other side sees it."""
    left = asyncio.Event()

    async def notice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await act(reader, writer)
        finally:
            left.set()

    async with outside(notice) as server:
        started_s = time.perf_counter()
        url = server.url.replace("http", scheme)
        error = await failure_of(egress, url, timeout_s=SHORT_S)
        passed_s = time.perf_counter() - started_s
        await asyncio.wait_for(left.wait(), 5)

    assert (error.failure, str(error)) == (Failure.TIMEOUT, "no answer within 0.2 s")
    assert passed_s < SHORT_S + 0.5


@pytest.mark.parametrize("tarpit", TARPITS)
async def test_a_slow_server_delays_no_longer_than_the_timeout(egress: Egress, tarpit: str) -> None:
    await check_tarpit(egress, TARPITS[tarpit], "http")


async def test_a_stalled_handshake_delays_no_longer_than_the_timeout(egress: Egress) -> None:
    await check_tarpit(egress, silence, "https")


async def test_a_hanging_look_up_delays_no_other_and_is_asked_once(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked, real = asyncio.Event(), [], socket.getaddrinfo
    loop = asyncio.get_running_loop()

    def hang(host: str, *rest: Any, **options: Any) -> list[Any]:
        if host.startswith("hanging"):
            asked.append(host)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    hanging = [f"http://hanging{n % 20}.test/" for n in range(40)]
    async with outside() as server:
        url = server.url.replace("127.0.0.1", "localhost")
        waits = [asyncio.ensure_future(failure_of(egress, u, timeout_s=1)) for u in hanging]
        await asyncio.sleep(0)
        assert await egress.ask(url, Trace(), timeout_s=TIMEOUT_S) == b"well"
        assert not any(wait.done() for wait in waits)
        errors = await asyncio.gather(*waits)
        release.set()

    assert {str(error) for error in errors} == {"no answer within 1 s"}
    assert len(asked) == 20


async def test_an_unknown_name_is_a_failure_of_dns(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    trace = Trace()
    error = await failure_of(egress, "http://unknown.test/?token=CANARY", trace)

    assert trace.phases_ms == {}
    assert (error.failure, str(error)) == (Failure.DNS, "DNS: Name or service not known")


async def test_a_refused_connection_says_so(egress: Egress) -> None:
    async with outside() as server:
        pass
    error = await failure_of(egress, server.url)

    assert (error.failure, str(error)) == (Failure.REFUSED, "connection refused")
