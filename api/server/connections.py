"""Client connections: limits on their number and duration, and which one is closed if too many."""

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
"""File descriptors reserved for database, engine, collectors and spool."""
CONNECTIONS_MAX = 10_000
CONNECTIONS_SPARE = 64
"""Connections beyond the limit, which only live until they get a response with status 503."""
IPV6_CLIENT_BITS = 64
"""An IPv6 client controls all addresses of a network of this prefix length."""
HELD = "held"
"""Key of a scope's `state`: the connection of the request, as `RequestConnection`."""
ENDS = "ends"
"""Key of a scope's `state`: whether the connection is closed after the response."""
ENDED = ("address", "connections", "share", "head", "head_size", "body", "frames", "syntax")
"""The limits that can end a connection, by the names of their counters."""


class Limits(Struct, frozen=True):
    """Limits of all client connections together, and of one client."""

    connections_max: int = CONNECTIONS_MAX
    address_max: int = 256
    """Unauthenticated connections of one address."""
    delayed_max: int = 512
    """Responses delayed as a penalty at one time; further ones are sent at once."""
    delayed_address_max: int = 16
    """Responses to one address delayed as a penalty at one time."""
    holder_max: int = CONNECTIONS_MAX // 4
    """Connections authenticated by one key, including the sessions opened with it."""
    address_holders_max: int = CONNECTIONS_MAX // 2
    """Connections of one address authenticated by keys that are not admin. Larger than the limit of
    one key, so that no key keeps out other keys of its address."""
    holders_max: int = CONNECTIONS_MAX * 5 // 8
    """Connections authenticated by keys that are not admin. The rest is for admins, and for
    connections that are not authenticated, or not yet, such as probes."""
    backlog: int = 2048
    """Connections waiting to be accepted."""
    head_timeout_s: float = 10.0
    """Time from the connection, or the first byte of a later request, to the end of the head."""
    head_bytes_max: int = 16 << 10
    """Parsing a head takes time on the event loop."""
    headers_max: int = 100
    url_bytes_max: int = 8 << 10
    body_timeout_s: float = 30.0
    stalled_s: float = 10.0
    """A client that has not read its response for this long may be closed in favour of others."""
    keep_alive_timeout_s: int = 75
    """Longer than senders wait between two requests. If the server closed first, the next request
    could be lost."""


class Client(Protocol):
    """A connection, as this module needs it."""

    transport: asyncio.Transport

    @property
    def is_waiting(self) -> bool:
        """Whether the server is waiting for the client to send or to read something."""

    def give_way(self) -> None:
        """End the connection."""


class ShareError(UnavailableError):
    """A key, an address or all keys together have reached their share of the connections."""


class RequestConnection:
    """The connection of a request, for the code that handles the request."""

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
        """Assign the connection to a principal. Raises ShareError if its share is used up."""
        self._connections.identify(self._client, principal)
        if self._on_identified:
            self._on_identified()

    async def delay(self, address: str, delay_s: float) -> bool:
        """Delay a response as a penalty; return False at once if too many are delayed."""
        return await self._connections.delay(self._client, address, delay_s)


class Connections:
    """Counts connections, and closes one if there are too many.

    It closes first the oldest connection whose response is delayed as a penalty, then the oldest
    unauthenticated one that waits for its client. A client that sends its request at once is hardly
    ever the oldest, so a client that only holds connections cannot keep others out. Authenticated
    connections are never closed; instead each key has a limited share of them. `ended` counts
    closed connections by limit.
    """

    def __init__(self, limits: Limits | None = None, trusted_proxies: Sequence[str] = ()) -> None:
        self.limits = limits or Limits()
        self.ended: Counter[str] = Counter()
        self.trusted_proxies = trusted_proxies
        self._proxies = [ip_network(proxy) for proxy in trusted_proxies]
        self._unidentified: Members[Client] = Members()
        self._holders: Members[Client] = Members()
        """Authenticated connections, by key."""
        self._shared: Members[Client] = Members()
        """Authenticated connections of keys that are not admin, by address."""
        self._delayed: Members[Client] = Members()
        self._wakes: dict[Client, asyncio.Event] = {}
        self._living: set[Client] = set()
        """Open connections that were not told to close. A request can outlive its connection."""
        self._ending: set[Client] = set()
        self.open = 0

    def admit(self, client: Client, host: str, open_count: int) -> None:
        """Count a new connection; `open_count` is the number of all connections including it."""
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
        """Assign a connection to a key. Raises ShareError if the share of the key is used up."""
        holder = holder_of(principal)
        # A connection that ended during the look-up of its key would never be forgotten again.
        if self._holders.group_of(client) == holder or client not in self._living:
            return
        address = self._unidentified.group_of(client) or self._shared.group_of(client)
        is_admin = principal.role is Role.ADMIN
        if reason := self._refusal(holder, "" if is_admin else address, is_admin=is_admin):
            self.ended["share"] += 1
            raise ShareError(f"{reason}; close some connections, or try again later")
        for members in (self._unidentified, self._holders, self._shared):
            members.discard(client)
        self._holders.add(client, holder)
        if not is_admin:
            self._shared.add(client, address)

    def _refusal(self, holder: str, address: str, *, is_admin: bool) -> str:
        """Return why a key gets no further connection; an empty text if it does."""
        limits = self.limits
        if len(self._holders.of(holder)) >= limits.holder_max:
            return f"this key has {limits.holder_max} connections, the most allowed for one key"
        if address and len(self._shared.of(address)) >= limits.address_holders_max:
            most = limits.address_holders_max
            return f"this address has {most} connections, the most allowed for one address"
        if not is_admin and len(self._shared) >= limits.holders_max:
            most = limits.holders_max
            return f"all keys together have {most} connections; the rest is reserved for admins"
        return ""

    async def delay(self, client: Client, address: str, delay_s: float) -> bool:
        """Delay a response as a penalty; return False at once if too many are delayed.

        Meanwhile its connection is the first to be closed. The delay ends with the connection, so
        that closed connections do not occupy places.
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
        """Remove a connection that has ended, or that is counted as a WebSocket from now on."""
        self.open = open_count
        self._leave(client)
        self._living.discard(client)
        self._ending.discard(client)

    def is_full(self, open_count: int) -> bool:
        """Return whether a request has to be refused with status 503."""
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
        # Close it now and not in a later turn of the loop: `_leave` has just woken the task of a
        # delayed response, which would be sent before.
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
        """End the delay of a response, if it is delayed."""
        self._delayed.discard(client)
        if wake := self._wakes.pop(client, None):
            wake.set()

    def _address_of(self, host: str) -> str:
        """Return the group of a peer address; empty if it is unknown or a trusted proxy."""
        address = client_of(host)
        if address is None or any(address in network for network in self._proxies):
            return ""
        return group_of(address)


@lru_cache(4096)
def _group_of_host(host: str) -> str:
    address = client_of(host)
    return "" if address is None else group_of(address)


def client_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a peer; None if it has none, such as a Unix socket."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def group_of(address: IPv4Address | IPv6Address) -> str:
    """Return an IPv4 address, or the network of an IPv6 address, which one client controls."""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_CLIENT_BITS), strict=False))


def asker_of(scope: Scope) -> str:
    """Return the `group_of` the client's address, also behind a trusted proxy; empty if unknown."""
    host, _ = scope.get("client") or ("", 0)
    return _group_of_host(host)


def identify(scope: Scope, principal: Principal) -> None:
    """Assign the connection of a request to its authenticated principal.

    Raises ShareError if the share of the key is used up; the response then closes the connection.
    """
    if held := _held_of(scope):
        try:
            held.identify(principal)
        except ShareError:
            scope["state"][ENDS] = True
            raise


async def delay(scope: Scope, address: str, delay_s: float) -> bool:
    """Delay the response to a request as a penalty.

    Returns False at once if too many are delayed. That response then closes its connection.
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
    """Return limits that leave enough of `files` descriptors to the rest of the service."""
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
    """Return the connections of a service, limited by the open files allowed to this process."""
    return Connections(limits_of(raise_file_limit()), trusted_proxies)
