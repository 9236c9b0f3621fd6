"""The HTTP service: runs until cancelled, then drains its requests and frees its port."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn
from litestar.types import ASGIApp

from api.http.head import HeadAsGet
from api.server.body_deadline import BodyDeadline
from api.server.connections import Connections, Limits
from api.server.protocol import HttpProtocol
from api.server.websocket_protocol import WebSocketProtocol

STALLED_TIMEOUT_MS = 10_000
"""A peer that acknowledges nothing for this long is disconnected."""
SEND_BUFFER_BYTES = 128 << 10
"""Small, so that a slow reader is noticed soon and not after megabytes."""
MESSAGE_BYTES_MAX = 64 << 10
DRAIN_TIMEOUT_S = 2


class Server(uvicorn.Server):
    """A server that leaves signals to the service that runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything else starts. Raises OSError if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(
        (host, port), family=family, backlog=Limits().backlog, dualstack_ipv6=both
    )
    # Every connection inherits these from its listener.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_TIMEOUT_MS)
    # asyncio does not set it for this socket. Without it every second response waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return listener


async def serve(
    app: ASGIApp, listener: socket.socket, connections: Connections | None = None
) -> None:
    """Serve on a listener until cancelled; return when the last response is sent or cut off."""
    server = Server(_config(app, connections or Connections()))
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    running = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
    try:
        # A cancelled uvicorn would drop all requests and leave its sockets open.
        await asyncio.shield(running)
    finally:
        server.should_exit = True
        await running


def _config(app: ASGIApp, connections: Connections) -> uvicorn.Config:
    limits = connections.limits
    protocol: Any = partial(HttpProtocol, counted=connections)
    websocket_protocol: Any = partial(WebSocketProtocol, counted=connections)
    # The protocol limits the number of connections, with an error in the usual format.
    return uvicorn.Config(
        BodyDeadline(HeadAsGet(app), limits.body_timeout_s),
        http=protocol,
        ws=websocket_protocol,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        backlog=limits.backlog,
        timeout_keep_alive=limits.keep_alive_timeout_s,
        timeout_graceful_shutdown=DRAIN_TIMEOUT_S,
        proxy_headers=bool(connections.trusted_proxies),
        forwarded_allow_ips=list(connections.trusted_proxies),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
    )


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Return False for requests cut off by the drain, which are not logged as errors."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, asyncio.CancelledError)
