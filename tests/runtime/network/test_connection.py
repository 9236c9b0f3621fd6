"""Connections for other protocols follow the same address rules as HTTP requests."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from runtime.network.connection import check, connect
from runtime.network.egress import Egress, EgressError, Failure, open_egress
from tests.collectors.fake_targets import outside

TIMEOUT_S = 5.0


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with open_egress(["127.0.0.0/8"]) as opened:
        yield opened


async def failure_of(egress: Egress, host: str, port: int, timeout_s: float = 5.0) -> EgressError:
    with pytest.raises(EgressError) as caught:
        await connect(egress, host, port, timeout_s=timeout_s)
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_allowed_address_is_connected_to(egress: Egress, host: str) -> None:
    async with outside() as server:
        opened = await connect(egress, host, server.port, timeout_s=TIMEOUT_S)
        with opened:
            assert opened.getpeername()[:2] == ("127.0.0.1", server.port)
            reader, writer = await asyncio.open_connection(sock=opened)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "::1"])
async def test_no_spelling_of_a_private_address_is_connected_to(host: str) -> None:
    async with open_egress() as closed, outside(hosts=("127.0.0.1", "::1")) as canary:
        error = await failure_of(closed, host, canary.port)

        assert error.failure is Failure.ADDRESS
        assert "VIGIA_EGRESS_ALLOW can allow it" in str(error)
        assert canary.connections == 0


async def test_no_allowed_network_holds_a_port_of_our_own() -> None:
    async with outside() as canary, open_egress(["127.0.0.0/8"], [("", canary.port)]) as own:
        error = await failure_of(own, "127.0.0.1", canary.port)

        assert error.failure is Failure.ADDRESS
        assert "belongs to Vigia or its database" in str(error)
        assert canary.connections == 0


async def test_where_nobody_listens_the_connection_is_refused(egress: Egress) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await failure_of(egress, "127.0.0.1", reserved.getsockname()[1])
    assert (error.failure, str(error)) == (Failure.REFUSED, "connection refused")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "", "a..b", "x" * 64 + ".example"])
async def test_a_name_without_an_address_is_said(egress: Egress, host: str) -> None:
    error = await failure_of(egress, host, 25)
    assert error.failure in {Failure.DNS, Failure.ADDRESS, Failure.REFUSED}


async def test_a_server_that_accepts_no_connection_times_out(egress: Egress) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # Linux holds one connection more than asked for, and answers no other.
        waiting = [await connect(egress, "127.0.0.1", port, timeout_s=TIMEOUT_S)]
        error = await failure_of(egress, "127.0.0.1", port, timeout_s=0.3)
        for one in waiting:
            one.close()
    assert error.failure is Failure.TIMEOUT
    assert str(error) == "no connection within 0.3 s"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "::1", "10.0.0.1"])
async def test_a_check_refuses_what_a_library_may_not_connect_to(host: str) -> None:
    async with open_egress() as closed:
        with pytest.raises(EgressError) as caught:
            await check(closed, host, 80, timeout_s=TIMEOUT_S)
    assert caught.value.failure is Failure.ADDRESS
    assert "VIGIA_EGRESS_ALLOW can allow it" in str(caught.value)


async def test_a_check_allows_what_is_allowed(egress: Egress) -> None:
    await check(egress, "127.0.0.1", 80, timeout_s=TIMEOUT_S)


async def test_one_address_that_is_not_allowed_is_enough_for_a_refusal(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def both(*_: object, **__: object) -> list[object]:
        stream = socket.SOCK_STREAM
        return [
            (socket.AF_INET, stream, 6, "", ("127.0.0.1", 80)),
            (socket.AF_INET, stream, 6, "", ("10.0.0.1", 80)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(EgressError, match=r"10\.0\.0\.1 is not a public address"):
        await check(egress, "both.example", 80, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(("host", "words"), [("a..b", "DNS: "), ("x" * 70 + ".example", "DNS: ")])
async def test_what_is_no_name_is_a_failure_of_dns(egress: Egress, host: str, words: str) -> None:
    with pytest.raises(EgressError, match=words) as caught:
        await check(egress, host, 80, timeout_s=TIMEOUT_S)
    assert caught.value.failure is Failure.DNS
