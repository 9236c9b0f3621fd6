"""The guard's verdict on addresses, as the socket sees them."""

import socket

import psutil
import pytest

from runtime.network.address_guard import THIS_MACHINE, AddressGuard
from runtime.network.endpoints import own_endpoints
from runtime.settings import Secret, Settings

PRIVATE = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192
    192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250
    240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:2 ::ffff:169.254.169.254 64:ff9b::7f00:1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001:0:808:808::80ff:fffe 2001:db8::1 2002:7f00:1::
    2002:c0a8:1::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1
"""
PUBLIC = "1.1.1.1 8.8.8.8 104.16.0.1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not AddressGuard().allows(address, 443)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_are_allowed(address: str) -> None:
    assert AddressGuard().allows(address, 443)


def test_a_network_that_the_operator_allows_is_allowed_in_every_spelling_and_no_more() -> None:
    guard = AddressGuard(["10.1.0.0/16", "fd00::/8"])

    assert guard.allows("10.1.2.3", 80)
    assert guard.allows("::ffff:10.1.2.3", 80)
    assert guard.allows("fd00::1", 80)
    assert not guard.allows("10.2.0.1", 80)
    assert not guard.allows("127.0.0.1", 80)


def test_the_ngrok_agent_is_allowed_at_its_port_alone() -> None:
    guard = AddressGuard()

    assert guard.allows("127.0.0.1", 4040, for_ngrok=True)
    assert not guard.allows("127.0.0.1", 4040)
    assert not guard.allows("127.0.0.1", 4041, for_ngrok=True)
    assert not guard.allows("127.0.0.2", 4040, for_ngrok=True)
    assert not guard.allows("10.0.0.1", 4040, for_ngrok=True)


def test_its_own_port_and_its_databases_are_denied_whatever_is_allowed() -> None:
    guard = AddressGuard(["0.0.0.0/0", "::/0"], [(THIS_MACHINE, 3001), ("10.0.0.5", 5432)])

    for address in ("127.0.0.1", "127.0.0.9", "::1", "0.0.0.0", "::ffff:127.0.0.1", *own()):
        assert not guard.allows(address, 3001), address
        assert guard.allows(address, 3002), address
    assert not guard.allows("10.0.0.5", 5432)
    assert not guard.allows("::ffff:10.0.0.5", 5432)
    assert guard.allows("10.0.0.5", 3001)
    assert guard.allows("10.0.0.6", 5432)


def own() -> list[str]:
    """The addresses of this machine, whatever it has."""
    return [
        one.address.partition("%")[0]
        for some in psutil.net_if_addrs().values()
        for one in some
        if one.family in {socket.AF_INET, socket.AF_INET6}
    ]


@pytest.mark.parametrize(
    ("url", "endpoints"),
    [
        ("postgresql://u:p@10.0.0.5:5433/v", {("10.0.0.5", 5433)}),
        ("postgresql://u@10.0.0.5,10.0.0.6/v", {("10.0.0.5", 5432), ("10.0.0.6", 5432)}),
        ("postgresql:///v?host=/run/postgresql", {(THIS_MACHINE, 5432)}),
        ("postgresql:///v?host=localhost&port=5434", {("127.0.0.1", 5434)}),
        ("postgresql://no-such-host.invalid/v", set()),
    ],
)
async def test_the_endpoints_of_a_service_are_its_port_and_where_its_databases_listen(
    url: str, endpoints: set[tuple[str, int]]
) -> None:
    settings = Settings(port=3001, database_url=Secret(url))

    assert await own_endpoints(settings) - {("::1", 5434)} == endpoints | {(THIS_MACHINE, 3001)}
