"""HTTP on one connection: uvicorn's protocol, with deadlines for what clients have to send."""

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.connections import IDENTIFIED, Connections
from api.errors import MEDIA_TYPE, RETRY_AFTER_S, Problem

NOT_HTTP = "this is not a request of HTTP/1.1"
FULL = "too many connections are open; try again soon"


class HttpProtocol(HttpToolsProtocol):
    """Ends a connection whose client takes too long for the head or the body of a request.

    One timer is enough, since a client sends one thing after the other: it runs while a head is
    awaited, or a body. It never runs while an answer is made, and between two requests uvicorn's
    keep-alive timer runs.
    """

    def __init__(self, *arguments: Any, counted: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counted = counted
        self._limits = counted.limits
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._is_upgraded = False
        self._head_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the client has to send something before anything happens."""
        return self._in_body or not self._is_answering

    def give_way(self) -> None:
        """End the connection at once: what the client would still have to send is not awaited."""
        if self._in_body or self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head."""
        super().connection_made(transport)
        self._start_timer()
        self._counted.admit(self, self.client[0] if self.client else "", len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop everything that runs for the connection."""
        self._stop_timer()
        super().connection_lost(exc)
        self._counted.forget(self, len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see what the client has to send next."""
        was_in_head = self._in_head
        super().data_received(data)
        if self._is_upgraded or self.transport.is_closing():
            return
        if self._in_head and was_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes_max:
                self._refuse(431, "head_size", "the head of the request is too large")
                return
        if self._timer is None and self._awaits_client:
            self._start_timer()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over: WebSockets have deadlines of their own."""
        self._is_upgraded = True
        self._stop_timer()
        super().handle_websocket_upgrade()
        self._counted.forget(self, len(self.connections))

    def on_message_begin(self) -> None:
        """Begin a head. The deadline counts from the connection, or from the first byte."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self.scope["state"][IDENTIFIED] = self._identify

    def on_headers_complete(self) -> None:
        """Begin the answer, and await the body."""
        self._stop_timer()
        self._in_head, self._in_body = False, True
        is_full = self._counted.is_full(len(self.connections))
        self.app = _refuse_full if is_full else self.config.loaded_app
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Await nothing until the answer is out."""
        self._stop_timer()
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's own words)
        """Refuse what cannot be parsed, in the form of all errors."""
        self._refuse(400, "syntax", NOT_HTTP)

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _awaits_client(self) -> bool:
        # An empty line between two requests has ended uvicorn's timer, and begins no request.
        return self._in_head or self._in_body or not self._is_answering

    def _start_timer(self) -> None:
        limits = self._limits
        delay_s = limits.body_timeout_s if self._in_body else limits.head_timeout_s
        self._timer = self.loop.call_later(delay_s, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._is_answering:
            # Whoever reads the body has the same deadline, and answers 408.
            self._start_timer()
        elif self._in_head:
            self._refuse(408, "head", "the head of the request did not arrive in time")
        else:
            # Browsers open connections ahead of need, and would take a 408 for an answer.
            self._counted.ended["body" if self._in_body else "head"] += 1
            self.transport.close()

    def _identify(self) -> None:
        self._counted.identify(self)

    def _refuse(self, status: int, limit: str, detail: str) -> None:
        self._counted.ended[limit] += 1
        self._stop_timer()
        self.transport.write(_answer(status, detail))
        self.transport.close()


def _body(status: int, detail: str) -> bytes:
    return msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail))


def _answer(status: int, detail: str) -> bytes:
    """Return an answer for where no application can make it."""
    body = _body(status, detail)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _refuse_full(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer while there are too many connections; this one is closed after it."""
    body = _body(503, FULL)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(RETRY_AFTER_S).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
