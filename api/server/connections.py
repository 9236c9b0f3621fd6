"""Connections of clients: how many there may be, how long each may take, and which gives way."""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain
from typing import Any, Protocol

import structlog
from litestar.types import Scope
from msgspec import Struct

from api.server.members import Members
from model.errors import UnavailableError
from model.principal import Principal, Role, holder_of
from runtime.file_limit import raise_file_limit

log = structlog.get_logger()

FILES_RESERVED = 256
"""Files that clients never get: those of the database, the engine, the collectors and the spool."""
CONNECTIONS_MAX = 10_000
CONNECTIONS_SPARE = 64
"""Connections beyond the most, which live as long as it takes to answer 503."""
IPV6_CLIENT_BITS = 64
"""A client with IPv6 has all addresses of one network of this size."""
HELD = "held"
"""Key of a scope's `state`: the connection of the request, as `RequestConnection`."""
ENDS = "ends"
"""Key of a scope's `state`: the connection is closed after the answer."""
ENDED = ("address", "connections", "share", "head", "head_size", "body", "frames", "syntax")
"""The limits that may end a connection, as they are counted."""


class Limits(Struct, frozen=True):
    """What the clients of one server may take together, and each for itself."""

    connections_max: int = CONNECTIONS_MAX
    address_max: int = 256
    """Connections of one address on which nobody has shown a valid key or session."""
    delayed_max: int = 512
    """Answers that are delayed as a penalty at one time; further ones are sent at once."""
    delayed_address_max: int = 16
    """The same for one address."""
    holder_max: int = CONNECTIONS_MAX // 4
    """Connections on which one key, and the sessions opened with it, were shown."""
    address_holders_max: int = CONNECTIONS_MAX // 2
    """Connections of one address with any key but an admin's: more than one key's share, so that
    no key keeps out the others of its address."""
    holders_max: int = CONNECTIONS_MAX * 5 // 8
    """Connections with any key but an admin's. The rest are for admins, and for strangers, such as
    probes and those who have yet to show a key."""
    backlog: int = 2048
    """Connections that may wait to be accepted; all of them may be at one time."""
    head_timeout_s: float = 10.0
    """From the connection, or from the first byte of a later request, to the whole head."""
    head_bytes_max: int = 16 << 10
    """Libraries parse heads on the event loop, byte by byte."""
    headers_max: int = 100
    url_bytes_max: int = 8 << 10
    body_timeout_s: float = 30.0
    stalled_s: float = 10.0
    """After so long without reading its answer, a client may have to give way to others."""
    keep_alive_timeout_s: int = 75
    """Longer than senders wait between two requests: whoever closes first loses a request."""


class Client(Protocol):
    """A connection, as far as it is counted here."""

    transport: asyncio.Transport

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to send something, or to read, before anything happens."""

    def give_way(self) -> None:
        """End the connection."""


class ShareError(UnavailableError):
    """A key has its share of all connections already."""


class RequestConnection:
    """The connection of a request, for whoever answers it."""

    def __init__(
        self,
        connections: "Connections",
        client: Client,
        on_identified: Callable[[], None] | None = None,
    ) -> None:
        self._connections = connections
        self._client = client
        self._on_identified = on_identified

    def identify(self, principal: Principal) -> None:
        """Say whose key or session was shown. Raises ShareError when it has its share."""
        self._connections.identify(self._client, principal)
        if self._on_identified:
            self._on_identified()

    async def delay(self, address: str, delay_s: float) -> bool:
        """Delay an answer as a penalty; False at once when too many are delayed already."""
        return await self._connections.delay(self._client, address, delay_s)


class Connections:
    """Counts connections, and ends one that can give way when there are too many.

    First those whose answer is delayed as a penalty give way, then those that wait for their
    client, of each the oldest. A client that sends its request at once is hardly ever the oldest,
    so that those who only hold connections cannot keep others out. A connection that has shown a
    valid key or session is left alone, and each key has a share of them. `ended` counts by limit.
    """

    def __init__(self, limits: Limits | None = None, trusted_proxies: Sequence[str] = ()) -> None:
        self.limits = limits or Limits()
        self.ended: Counter[str] = Counter()
        self.trusted_proxies = trusted_proxies
        self._proxies = [ip_network(proxy) for proxy in trusted_proxies]
        self._unidentified: Members[Client] = Members()
        self._holders: Members[Client] = Members()
        """By the name of the key that was shown."""
        self._shared: Members[Client] = Members()
        """Those of them whose key is no admin's, by address."""
        self._delayed: Members[Client] = Members()
        self._wakes: dict[Client, asyncio.Event] = {}
        self._living: set[Client] = set()
        """Those that are open and were not told to end. Requests outlive their connections."""
        self._ending: set[Client] = set()
        self.open = 0

    def admit(self, client: Client, host: str, open_count: int) -> None:
        """Count a new connection; `open_count` are all, with this one."""
        self.open = open_count
        address = self._address_of(host)
        self._living.add(client)
        self._unidentified.add(client, address)
        same = self._unidentified.of(address)
        if address and len(same) > self.limits.address_max:
            delayed = self._delayed.of(address)
            self._end_first(chain(delayed, filter(_is_waiting, same)), "address")
        if self._is_over(open_count):
            waiting = (each for each in self._unidentified if each is not client)
            others = chain(self._delayed, filter(_is_waiting, waiting))
            is_ended = self._end_first(others, "connections")
            if not is_ended and self._is_over(open_count - CONNECTIONS_SPARE):
                self._end(client, "connections")

    def identify(self, client: Client, principal: Principal) -> None:
        """Count a connection among those of a key. Raises ShareError when it has its share."""
        holder = holder_of(principal)
        # One that ended while its key was looked up would keep its place for ever.
        if self._holders.group_of(client) == holder or client not in self._living:
            return
        address = self._unidentified.group_of(client) or self._shared.group_of(client)
        is_admin = principal.role is Role.ADMIN
        if reason := self._refusal(holder, "" if is_admin else address, is_admin=is_admin):
            self.ended["share"] += 1
            raise ShareError(f"{reason}; close some, or try again later")
        for members in (self._unidentified, self._holders, self._shared):
            members.discard(client)
        self._holders.add(client, holder)
        if not is_admin:
            self._shared.add(client, address)

    def _refusal(self, holder: str, address: str, *, is_admin: bool) -> str:
        """Return why a key gets no further connection; empty when it does."""
        limits = self.limits
        if len(self._holders.of(holder)) >= limits.holder_max:
            return f"this key has {limits.holder_max} connections, which is the most of one key"
        if address and len(self._shared.of(address)) >= limits.address_holders_max:
            most = limits.address_holders_max
            return f"this address has {most} connections, which is the most of one address"
        if not is_admin and len(self._shared) >= limits.holders_max:
            return f"all keys have {limits.holders_max} connections; the rest are kept for admins"
        return ""

    async def delay(self, client: Client, address: str, delay_s: float) -> bool:
        """Delay an answer as a penalty; False at once when too many are, or its connection ended.

        Meanwhile its connection is the first to give way. The penalty ends with the connection, so
        that nobody fills the places with connections that are closed.
        """
        is_full = len(self._delayed) >= self.limits.delayed_max
        if client not in self._living:
            return False
        if is_full or len(self._delayed.of(address)) >= self.limits.delayed_address_max:
            return False
        self._delayed.add(client, address)
        wake = self._wakes[client] = asyncio.Event()
        try:
            async with asyncio.timeout(delay_s):
                await wake.wait()
        except TimeoutError:
            pass
        finally:
            self._spare(client)
        return True

    def forget(self, client: Client, open_count: int) -> None:
        """Leave out a connection that has ended, or is counted as a WebSocket from now on."""
        self.open = open_count
        self._leave(client)
        self._living.discard(client)
        self._ending.discard(client)

    def is_full(self, open_count: int) -> bool:
        """Whether a request is to be answered with 503."""
        return self._is_over(open_count)

    def status(self) -> dict[str, Any]:
        return {
            "open": self.open,
            "unidentified": len(self._unidentified),
            "identified": len(self._holders),
            "delayed": len(self._delayed),
            "max": self.limits.connections_max,
            "ended": dict(self.ended),
        }

    def _is_over(self, open_count: int) -> bool:
        return open_count - len(self._ending) > self.limits.connections_max

    def _end_first(self, candidates: Iterable[Client], limit: str) -> bool:
        first = next(iter(candidates), None)
        if first is not None:
            self._end(first, limit)
        return first is not None

    def _end(self, client: Client, limit: str) -> None:
        self.ended[limit] += 1
        self._leave(client)
        self._living.discard(client)
        self._ending.add(client)
        # At once, and not in a turn of its own: until then a delayed answer would get out.
        try:
            client.give_way()
        except Exception as error:  # noqa: BLE001 (another one connects, who has no part in it)
            trace = "".join(traceback.format_exception(error))
            log.error("connection_broken", exception=trace)  # noqa: TRY400 (as text, without values)
            client.transport.abort()

    def _leave(self, client: Client) -> None:
        for members in (self._unidentified, self._holders, self._shared):
            members.discard(client)
        self._spare(client)

    def _spare(self, client: Client) -> None:
        """End the delay of an answer, if it is delayed."""
        self._delayed.discard(client)
        if wake := self._wakes.pop(client, None):
            wake.set()

    def _address_of(self, host: str) -> str:
        """Return what one client's connections have in common; empty where that is unknown."""
        address = client_of(host)
        if address is None or any(address in network for network in self._proxies):
            return ""
        return group_of(address)


@lru_cache(4096)
def _group_of_host(host: str) -> str:
    address = client_of(host)
    return "" if address is None else group_of(address)


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


def asker_of(scope: Scope) -> str:
    """Return who asks, as `group_of` an address, which a trusted proxy may tell; empty for none."""
    host, _ = scope.get("client") or ("", 0)
    return _group_of_host(host)


def identify(scope: Scope, principal: Principal) -> None:
    """Say whose valid key or session the request of a scope has shown.

    Raises ShareError when that key has its share of connections; the answer then ends this one.
    """
    if held := _held_of(scope):
        try:
            held.identify(principal)
        except ShareError:
            scope["state"][ENDS] = True
            raise


async def delay(scope: Scope, address: str, delay_s: float) -> bool:
    """Delay the answer to a request as a penalty. When too many are delayed, return False at once.

    Such an answer ends its connection.
    """
    held = _held_of(scope)
    if held is None:
        await asyncio.sleep(delay_s)
        return True
    is_delayed = await held.delay(address, delay_s)
    scope["state"][ENDS] = not is_delayed
    return is_delayed


def _held_of(scope: Scope) -> RequestConnection | None:
    state: dict[str, Any] = scope.get("state") or {}
    return state.get(HELD)


def _is_waiting(client: Client) -> bool:
    return client.is_waiting


def limits_of(files: int) -> Limits:
    """Return the limits under which clients leave enough of so many files to everybody else."""
    most = min(CONNECTIONS_MAX, max(files - FILES_RESERVED, files // 4))
    return Limits(
        connections_max=most,
        address_max=min(256, most // 4),
        delayed_max=min(512, most // 8),
        holder_max=most // 4,
        address_holders_max=most // 2,
        holders_max=most * 5 // 8,
        backlog=min(2048, files // 8),
    )


def open_connections(trusted_proxies: Sequence[str]) -> Connections:
    """Return the connections of a service, within what this process may open."""
    return Connections(limits_of(raise_file_limit()), trusted_proxies)
