"""Connections of clients: how many there may be, how long each may take, and which gives way."""

import resource
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Protocol

from litestar.types import Scope
from msgspec import Struct

FILES_WANTED = 1 << 20
FILES_RESERVED = 256
"""Files that clients never get: those of the database, the engine, the collectors and the spool."""
CONNECTIONS_MAX = 10_000
CONNECTIONS_SPARE = 64
"""Connections beyond the most, which live as long as it takes to answer 503."""
IPV6_CLIENT_BITS = 64
"""A client with IPv6 has all addresses of one network of this size."""
IDENTIFIED = "identified"
"""Key of a scope's `state`: what to call once it is known who asks."""
ENDED = ("address", "connections", "head", "head_size", "body", "syntax")
"""The limits that may end a connection, as they are counted."""


class Limits(Struct, frozen=True):
    """What the clients of one server may take together, and each for itself."""

    connections_max: int = CONNECTIONS_MAX
    address_max: int = 256
    """Connections of one address on which nobody has shown a valid key or session."""
    backlog: int = 2048
    """Connections that may wait to be accepted; all of them may be at one time."""
    head_timeout_s: float = 10.0
    """From the connection, or from the first byte of a later request, to the whole head."""
    head_bytes_max: int = 64 << 10
    body_timeout_s: float = 30.0
    keep_alive_timeout_s: int = 75
    """Longer than senders wait between two requests: whoever closes first loses a request."""


class Client(Protocol):
    """A connection, as far as it is counted here."""

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to send something before anything happens."""

    def give_way(self) -> None:
        """End the connection."""


class Connections:
    """Counts connections, and ends the oldest that waits for its client when there are too many.

    A client that sends its request at once is hardly ever the oldest, so that those who only hold
    connections cannot keep others out. A connection that has shown a valid key or session is left
    alone. `ended` counts by limit.
    """

    def __init__(self, limits: Limits | None = None, trusted_proxies: Sequence[str] = ()) -> None:
        self.limits = limits or Limits()
        self.ended: Counter[str] = Counter()
        self.trusted_proxies = trusted_proxies
        self._proxies = [ip_network(proxy) for proxy in trusted_proxies]
        self._unidentified: dict[Client, str] = {}
        self._by_address: dict[str, dict[Client, None]] = {}
        self._ending: set[Client] = set()
        self.open = 0

    def admit(self, client: Client, host: str, open_count: int) -> None:
        """Count a new connection; `open_count` are all, with this one."""
        self.open = open_count
        address = self._address_of(host)
        self._unidentified[client] = address
        if address:
            same = self._by_address.setdefault(address, {})
            same[client] = None
            if len(same) > self.limits.address_max:
                self._end_oldest(same, "address")
        if self._is_over(open_count):
            others = (each for each in self._unidentified if each is not client)
            is_ended = self._end_oldest(others, "connections")
            if not is_ended and self._is_over(open_count - CONNECTIONS_SPARE):
                self._end(client, "connections")

    def identify(self, client: Client) -> None:
        """Count a connection no longer among those of nobody."""
        address = self._unidentified.pop(client, "")
        if same := self._by_address.get(address):
            same.pop(client, None)
            if not same:
                del self._by_address[address]

    def forget(self, client: Client, open_count: int) -> None:
        """Leave out a connection that has ended, or has become a WebSocket."""
        self.open = open_count
        self.identify(client)
        self._ending.discard(client)

    def is_full(self, open_count: int) -> bool:
        """Whether a request is to be answered with 503."""
        return self._is_over(open_count)

    def status(self) -> dict[str, Any]:
        return {
            "open": self.open,
            "unidentified": len(self._unidentified),
            "max": self.limits.connections_max,
            "ended": dict(self.ended),
        }

    def _is_over(self, open_count: int) -> bool:
        return open_count - len(self._ending) > self.limits.connections_max

    def _end_oldest(self, candidates: Iterable[Client], limit: str) -> bool:
        oldest = next((client for client in candidates if client.is_waiting), None)
        if oldest is not None:
            self._end(oldest, limit)
        return oldest is not None

    def _end(self, client: Client, limit: str) -> None:
        self.ended[limit] += 1
        self.identify(client)
        self._ending.add(client)
        client.give_way()

    def _address_of(self, host: str) -> str:
        """Return what one client's connections have in common; empty where that is unknown."""
        address = client_of(host)
        if address is None or any(address in network for network in self._proxies):
            return ""
        return group_of(address)


def client_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a peer; None for what has none, such as a Unix socket."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def group_of(address: IPv4Address | IPv6Address) -> str:
    """Return the address, or the network in which one client may choose any address."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_CLIENT_BITS), strict=False))


def identify(scope: Scope) -> None:
    """Say that the request of a scope has shown a valid key or session."""
    state: dict[str, Any] = scope.get("state") or {}
    if mark := state.get(IDENTIFIED):
        mark()


def raise_file_limit() -> int:
    """Let this process open as many files as it may, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return FILES_WANTED if soft == resource.RLIM_INFINITY else soft


def limits_of(files: int) -> Limits:
    """Return the limits under which clients leave enough of so many files to everybody else."""
    most = min(CONNECTIONS_MAX, max(files - FILES_RESERVED, files // 4))
    return Limits(
        connections_max=most,
        address_max=min(256, most // 4),
        backlog=min(2048, files // 8),
    )


def open_connections(trusted_proxies: Sequence[str]) -> Connections:
    """Return the connections of a service, within what this process may open."""
    return Connections(limits_of(raise_file_limit()), trusted_proxies)
