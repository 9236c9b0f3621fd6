"""Decides which addresses Vigia may connect to: public ones, and networks the operator allows."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import psutil

NGROK_AGENT = (IPv4Address("127.0.0.1"), 4040)
"""The address of the local ngrok agent. Only targets of kind `ngrok` may connect to it."""

Endpoint = tuple[str, int]
THIS_MACHINE = ""
"""Stands for every address of this machine."""

DENIED = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "168.63.129.16/32",  # the metadata host of Azure, a public address
        "192.0.0.0/24",  # protocol assignments; Oracle Cloud has its metadata here
        "192.88.99.0/24",  # 6to4 relays
        "3fff::/20",  # documentation
    )
)
"""Networks that are not public although `is_global` of some Python version allows them."""

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
COMPATIBLE = ip_network("::/96")

Address = IPv4Address | IPv6Address


class AddressGuard:
    """Allows public addresses and the networks in `allowed` (CIDR).

    The endpoints in `denied` are refused even in an allowed network: they are the service's own
    port and its databases.
    """

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[Endpoint] = ()) -> None:
        self._allowed = tuple(ip_network(network) for network in allowed)
        self._denied = frozenset((_place(address), port) for address, port in denied)
        self._denied_ports = frozenset(port for _, port in self._denied)

    def allows(self, address: str, port: int, *, for_ngrok: bool = False) -> bool:
        """Return whether a socket may connect to an address. Raises ValueError for a name.

        Call it with the very address that is connected to: the answer of a name server can change
        between two look-ups.
        """
        outer = ip_address(address)
        inner = _unwrapped(outer)
        if self.denies(address, port):
            return False
        if for_ngrok and (inner, port) == NGROK_AGENT:
            return True
        if any(ip in network for network in self._allowed for ip in (outer, inner)):
            return True
        return _is_public(inner)

    def refusal(self, address: str, port: int) -> str:
        """Return why `allows` refused an address, and how to allow it."""
        if self.denies(address, port):
            return f"{address}:{port} belongs to Vigia or its database, and cannot be a target"
        return f"{address} is not a public address; VIGIA_EGRESS_ALLOW can allow it"

    def denies(self, address: str, port: int) -> bool:
        """Return whether Vigia or one of its databases listens at this endpoint."""
        if port not in self._denied_ports:
            return False
        outer = ip_address(address)
        inner = _unwrapped(outer)
        if (None, port) in self._denied and any(map(_is_this_machine, (outer, inner))):
            return True
        return (inner, port) in self._denied


def _place(address: str) -> Address | None:
    """Return the address that an IPv6 form stands for, or None for this machine."""
    outer = ip_address(address) if address else None
    return None if outer is None or _is_this_machine(outer) else _unwrapped(outer)


def _is_this_machine(ip: Address) -> bool:
    if ip.is_loopback or ip.is_unspecified:
        return True
    own = (one.address for some in psutil.net_if_addrs().values() for one in some)
    return str(ip) in {address.partition("%")[0] for address in own}


def _unwrapped(ip: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address (Teredo, NAT64, mapped, 6to4), or itself.

    Otherwise a private IPv4 address in an IPv6 form would pass as public.
    """
    if isinstance(ip, IPv4Address):
        return ip
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in NAT64 or ip in COMPATIBLE:
        return IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip


def _is_public(ip: Address) -> bool:
    if ip.is_multicast or not ip.is_global or any(ip in network for network in DENIED):
        return False
    return isinstance(ip, IPv4Address) or ip in GLOBAL_UNICAST
