"""The HTTP client for all outgoing requests: to allowed addresses only, each with a deadline."""

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from enum import StrEnum
from io import BytesIO
from typing import Any

import aiohttp
from msgspec import Struct

from runtime.network.address_guard import AddressGuard, Endpoint
from runtime.network.resolver import Resolver
from runtime.version import __version__

REDIRECTS_MAX = 3
BODY_BYTES_MAX = 64 * 1024
PIECE_BYTES = 256 * 1024
"""A larger body is sent in pieces, so that the event loop does other work in between."""
CONNECTIONS_MAX = 256

HEADERS = {"User-Agent": f"Vigia/{__version__}", "Accept-Encoding": "identity"}
"""`identity` asks for uncompressed bodies. Vigia never decompresses one, so that a small answer
cannot fill the memory."""


class Failure(StrEnum):
    """Why a request has no complete answer."""

    URL = "url"
    ADDRESS = "address"
    DNS = "dns"
    REFUSED = "refused"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    PROTOCOL = "protocol"


class EgressError(Exception):
    """A request has no complete answer. The message is short, and contains no part of the URL."""

    def __init__(self, failure: Failure, reason: str) -> None:
        super().__init__(reason)
        self.failure = failure


class Trace(Struct):
    """Status, headers and timings of a request, even of a failed one.

    `phases_ms` holds each ended phase (dns, connect, tls, first_byte, transfer) in milliseconds,
    added up over redirects. `status` is 0 until an answer arrives. Names in `headers` may have any
    case.
    """

    for_ngrok: bool = False
    """Whether the address of the local ngrok agent is allowed."""
    status: int = 0
    headers: Mapping[str, str] = {}
    phases_ms: dict[str, float] = {}
    phase: str = ""
    phase_since_s: float = 0.0
    refused: str = ""
    peer: aiohttp.AddrInfoType | None = None
    server_name: str | None = None
    tls: list[ssl.SSLObject] = []

    def enter(self, phase: str) -> None:
        if phase == self.phase:
            return
        now_s = time.perf_counter()
        if self.phase:
            passed_ms = (now_s - self.phase_since_s) * 1000
            self.phases_ms[self.phase] = self.phases_ms.get(self.phase, 0.0) + passed_ms
        self.phase, self.phase_since_s = phase, now_s

    @property
    def latency_ms(self) -> float:
        """Milliseconds from the start to the last byte. The phases leave no gap."""
        return sum(self.phases_ms.values())

    def certificates(self) -> list[bytes]:
        """Return the certificates of the server and of the redirects before it, in DER."""
        shown = []
        for tls in self.tls:
            try:
                shown.append(tls.getpeercert(binary_form=True))
            except ValueError:
                # This handshake did not finish. That of an earlier redirect may have.
                continue
        return [certificate for certificate in shown if certificate]


_trace: ContextVar[Trace] = ContextVar("trace")
"""The trace of this task's request. aiohttp creates sockets and TLS objects in hooks that take no
argument of ours."""


class Egress:
    """Makes HTTP requests, each on its own connection. Create it with `open_egress`."""

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[Endpoint] = ()) -> None:
        self.guard = AddressGuard(allowed, denied)
        self.resolver = Resolver(self.guard)
        self.tls = ssl.create_default_context()
        """The TLS context for protocols other than HTTP; see `connection`."""
        self._verified, self._unverified = _context(verify=True), _context(verify=False)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._socket,
                resolver=self.resolver,
                use_dns_cache=False,
                force_close=True,
                limit=CONNECTIONS_MAX,
            ),
            # `ask` has its own deadline, because aiohttp rounds timeouts up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_phases()],
            middlewares=[_once],
        )

    async def ask(
        self,
        url: str,
        trace: Trace,
        *,
        timeout_s: float,
        method: str = "GET",
        follow: bool = True,
        verify_tls: bool = True,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> bytes:
        """Return the first `body_bytes_max` bytes of the body. Raises EgressError.

        `trace` receives the status, the headers and the timings, even when the request fails. A
        request with `headers` or `data` follows no redirect, so that they reach no other host.
        """
        token = _trace.set(trace)
        options = {
            "allow_redirects": follow and headers is None and data is None,
            "ssl": self._verified if verify_tls else self._unverified,
            "headers": headers,
            # aiohttp writes a stream in pieces, and bytes at once.
            "data": BytesIO(data) if data and len(data) > PIECE_BYTES else data,
        }
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(method, url, trace, body_bytes_max, **options)
        except TimeoutError:
            raise EgressError(Failure.TIMEOUT, f"no answer within {timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise EgressError(*_explain(error, trace)) from error
        finally:
            _trace.reset(token)

    async def _ask(
        self, method: str, url: str, trace: Trace, body_bytes_max: int, **options: Any
    ) -> bytes:
        try:
            async with self.session.request(
                method, url, max_redirects=REDIRECTS_MAX + 1, **options
            ) as response:
                trace.status, trace.headers = response.status, response.headers
                trace.enter("transfer")
                body = await _beginning(response.content, body_bytes_max)
                trace.enter("")
                return body
        except aiohttp.ClientConnectorCertificateError:
            with suppress(OSError):
                await self._show_certificate(trace)
            raise

    async def _show_certificate(self, trace: Trace) -> None:
        """Repeat the TLS handshake without verification, only to read the server's certificate.

        OpenSSL does not return a certificate that it could not verify.
        """
        if trace.peer is None:
            return
        loop = asyncio.get_running_loop()
        family, kind, protocol, _, address = trace.peer
        peer = socket.socket(family, kind, protocol)
        try:
            peer.setblocking(False)
            await loop.sock_connect(peer, address)
        except BaseException:
            peer.close()
            raise
        transport, _ = await loop.create_connection(
            asyncio.Protocol, sock=peer, ssl=self._unverified, server_hostname=trace.server_name
        )
        transport.abort()

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Create the socket for an address, or raise PermissionError for a refused address.

        This is the last step before the connection: no later look-up can change the address.
        """
        family, kind, protocol, _, (address, port, *_) = info
        trace = _trace.get()
        trace.enter("connect")
        if not self.guard.allows(str(address), int(port), for_ngrok=trace.for_ngrok):
            trace.refused = self.guard.refusal(str(address), int(port))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        trace.peer = info
        return socket.socket(family, kind, protocol)


@asynccontextmanager
async def open_egress(
    allowed: Iterable[str] = (), denied: Iterable[Endpoint] = ()
) -> AsyncIterator[Egress]:
    """Open a client for public addresses and the networks in `allowed` (CIDR).

    It never connects to the endpoints in `denied`.
    """
    egress = Egress(allowed, denied)
    async with egress.session:
        yield egress


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a request.

    With repeats, a server that drops every second request would look healthy.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError from error


async def _beginning(content: aiohttp.StreamReader, bytes_max: int) -> bytes:
    body = bytearray()
    while chunk := await content.read(bytes_max - len(body)):
        body += chunk
    return bytes(body)


class _Context(ssl.SSLContext):
    """Records the start of the TLS handshake in the trace. aiohttp has no hook for it."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        tls = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        trace = _trace.get()
        trace.enter("tls")
        trace.server_name = tls.server_hostname
        trace.tls.append(tls)
        return tls


def _context(*, verify: bool) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _phases() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()

    def entering(phase: str) -> Callable[..., Awaitable[None]]:
        async def enter(*_: object) -> None:
            _trace.get().enter(phase)

        return enter

    async def start(*_: object) -> None:
        _trace.get().refused = ""
        _trace.get().enter("")

    config.on_connection_create_start.append(start)
    config.on_dns_resolvehost_start.append(entering("dns"))
    config.on_dns_resolvehost_end.append(entering("connect"))
    config.on_connection_create_end.append(entering("first_byte"))
    return config


FIXED: tuple[tuple[type[Exception], Failure, str], ...] = (
    (aiohttp.TooManyRedirects, Failure.REDIRECT, f"more than {REDIRECTS_MAX} redirects"),
    (aiohttp.RedirectClientError, Failure.REDIRECT, "redirected to an address that is not HTTP"),
    (aiohttp.NonHttpUrlClientError, Failure.URL, "not a usable HTTP address"),
    (aiohttp.ClientPayloadError, Failure.PROTOCOL, "the answer is incomplete"),
    (aiohttp.ClientResponseError, Failure.PROTOCOL, "the answer is not valid HTTP"),
    (aiohttp.ClientConnectionError, Failure.PROTOCOL, "closed without an answer"),
    (OSError, Failure.PROTOCOL, "closed without an answer"),
    (ValueError, Failure.URL, "not a usable HTTP address"),
)
"""Errors with a fixed message. The first class that matches counts."""


def _explain(error: Exception, trace: Trace) -> tuple[Failure, str]:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            words = getattr(error.certificate_error, "verify_message", "not verified")
            return Failure.TLS, f"TLS: {words.rstrip('.')}"
        case aiohttp.ClientSSLError():
            words = getattr(error.os_error, "reason", None) or "handshake failed"
            return Failure.TLS, f"TLS: {words.replace('_', ' ').lower()}"
        case aiohttp.ClientConnectorDNSError():
            return Failure.DNS, f"DNS: {error.os_error.strerror or 'no answer'}"
        case aiohttp.ClientConnectorError():
            return _explain_connection(error.os_error, trace)
    return next(
        ((failure, words) for kind, failure, words in FIXED if isinstance(error, kind)),
        (Failure.PROTOCOL, type(error).__name__),
    )


def _explain_connection(error: OSError, trace: Trace) -> tuple[Failure, str]:
    if trace.refused:
        return Failure.ADDRESS, trace.refused
    words = os.strerror(error.errno).lower() if error.errno else ""
    if trace.phase == "tls":
        return Failure.TLS, f"TLS: {words or 'connection lost'}"
    if error.errno == errno.ECONNREFUSED:
        return Failure.REFUSED, words
    # The addresses of a name can fail with different errors, and then there is no errno.
    return Failure.CONNECT, words or "cannot connect"
