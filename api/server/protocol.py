"""HTTP on one connection: uvicorn's protocol with deadlines and limits for clients."""

import asyncio
import math
from collections.abc import Iterable
from typing import Any, NoReturn, cast

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.server.connections import HELD, Connections, RequestConnection
from api.server.paced_transport import PacedTransport
from api.server.plain_answers import FULL, answer, answering

NOT_HTTP = "this is not a valid HTTP/1.1 request"
HEAD = "the head of the request is too large; send fewer or shorter headers and cookies"
HEADERS = "the request has too many headers; send fewer"
URL = "the address of the request is too long; ask for less at a time"
HOSTS = "an HTTP/1.1 request needs exactly one Host header"
CODINGS = "the only supported Transfer-Encoding is chunked, given once"
TRAILERS = "the trailers of the body are too large; leave them out"
UPGRADE_BODY = "a WebSocket request must not have a body"
UPGRADE_LATE = "await the responses to all earlier requests before you open a WebSocket"
SLICE_BYTES = 4 << 10
"""Most bytes of heads parsed in one turn of the loop, and of a chunked body at a time."""
HEADS_MAX = 8
"""Most heads, or parts of one, parsed in one turn of the loop."""
CHUNKS_MAX = 100
"""About the most chunks of bodies parsed in one turn: each costs as much as a header."""
LONG_CHUNKS_BYTES = 32 << 10
"""Most bytes parsed at a time of a body with long chunks."""
PIPELINED_MAX = 8
"""Most requests of one connection that wait for the response to an earlier one."""
TRAILERS_BYTES_MAX = 8 << 10
"""Most bytes of a body that are not data: trailers, which nobody reads, or chunk headers."""
END_OF_HEAD = b"\r\n\r\n"
_IS_FULL = answering(503, FULL)


class HttpProtocol(HttpToolsProtocol):
    """Closes a connection whose client takes too long to send the head or the body of a request.

    One deadline is enough, because a client sends heads and bodies one after the other. It runs
    while a head or a body is awaited, and not while a response is made. Between two requests
    uvicorn's keep-alive timer runs instead.
    """

    def __init__(self, *arguments: Any, counted: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._counted = counted
        self._limits = counted.limits
        self._headers_max = counted.limits.headers_max
        self._held = RequestConnection(counted, self)
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._in_body = False
        self._is_upgraded = False
        self._head_bytes = 0
        self._body_left = 0
        self._chunks = 0
        self._trailer_bytes = 0
        self._is_over = False
        self._stalls_at = math.inf
        self._refusal = (400, "syntax", NOT_HTTP)
        self._defect = ""
        self._unanswered: list[RequestResponseCycle] = []
        self._paced: PacedTransport

    @property
    def is_waiting(self) -> bool:
        """Whether the server is waiting for the client to send or to read something."""
        is_stalled = self.loop.time() > self._stalls_at
        return self._in_body or not self._is_answering or is_stalled

    def give_way(self) -> None:
        """Close the connection at once, without waiting for the rest of a request."""
        if self._in_body or self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head."""
        self._paced = PacedTransport(transport, self._parse_slice, self._has_room)
        super().connection_made(cast(asyncio.Transport, self._paced))
        self._start_timer()
        self._counted.admit(self, self.client[0] if self.client else "", len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop everything that runs for the connection."""
        self._end_timer()
        super().connection_lost(exc)
        # Uvicorn notifies only the newest request. Earlier ones may still be waiting.
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        self._counted.forget(self, len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, a slice in each turn of the loop."""
        if self._paced.is_idle and not self._in_body:
            # Fast path: most requests are a small head, often with a body of known length.
            end = data.find(END_OF_HEAD, 0, SLICE_BYTES) + len(END_OF_HEAD)
            if end >= len(END_OF_HEAD):
                self._parse(data[:end])
                data = data[end:]
                if self._is_upgraded and data:
                    self._hand_over(data)
                if not data or self._is_upgraded or self.transport.is_closing():
                    return
        if len(data) <= self._body_left and not self._paced.waiting:
            # A body of known length is only copied, so it needs no slices.
            self._parse(data)
        else:
            self._paced.receive(data)

    def on_response_complete(self) -> None:
        """Continue with a request that waits to be parsed."""
        super().on_response_complete()
        self._unanswered = [one for one in self._unanswered if not one.response_complete]
        if self._paced.waiting:
            self._paced.go_on()

    def pause_writing(self) -> None:
        """Note that the client does not read, so that it counts as stalled after a while."""
        super().pause_writing()
        self._stalls_at = self.loop.time() + self._limits.stalled_s

    def resume_writing(self) -> None:
        """Continue with the response: the client has read most of it."""
        super().resume_writing()
        self._stalls_at = math.inf

    def _has_room(self) -> bool:
        return len(self.pipeline) < PIPELINED_MAX and not self._is_over

    def _parse_slice(self) -> None:
        heads, size = 0, SLICE_BYTES
        self._chunks = 0
        while heads < HEADS_MAX and size > 0 and self._chunks < CHUNKS_MAX:
            was_in_body, chunks = self._in_body, self._chunks
            piece = self._paced.take(self._piece_size(size))
            self._parse(piece)
            if self._is_upgraded or not self._paced.waiting or self.transport.is_closing():
                return
            # Continue even if uvicorn's body buffer is full: it exceeds its limit by one read only.
            if was_in_body and self._in_body:
                are_long = 0 < self._chunks - chunks < len(piece) >> 10
                size = LONG_CHUNKS_BYTES if are_long else SLICE_BYTES
                continue
            heads, size = heads + 1, min(size, SLICE_BYTES) - len(piece)
            if not self._paced.can_parse:
                return

    def _piece_size(self, most: int) -> int:
        """Return how many bytes to parse now, so that at most one request ends in them."""
        if self._body_left:
            return self._body_left
        end = self._paced.waiting.find(END_OF_HEAD, 0, most)
        return most if end < 0 else end + len(END_OF_HEAD)

    def _parse(self, data: bytes) -> None:
        """Parse bytes, check the limits, and start the deadline for what is awaited next."""
        was_in_body, chunks = self._in_body, self._chunks
        self._feed(data)
        if self._is_upgraded or self.transport.is_closing():
            return
        if was_in_body and self._in_body and self._chunks == chunks:
            self._trailer_bytes += len(data)
            if self._trailer_bytes > TRAILERS_BYTES_MAX:
                self._refuse(431, "head_size", TRAILERS)
                return
        else:
            self._trailer_bytes = 0
        if self._in_head:
            # The parser buffers an incomplete header without a callback, so count bytes here.
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes_max:
                self._refuse(431, "head_size", HEAD)
                return
        if self._deadline is None and self._awaits_client:
            self._start_timer()

    def _feed(self, data: bytes) -> None:
        # As uvicorn does, but without a log line for every client that does not send HTTP.
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except HttpParserError:
            self._refuse(*self._refusal)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which has its own deadlines."""
        self._is_upgraded = True
        self._end_timer()
        rest = bytes(self._paced.waiting)
        self.transport = self._paced.release()
        self._counted.forget(self, len(self.connections))
        super().handle_websocket_upgrade()
        if rest:
            self._hand_over(rest)

    def _hand_over(self, rest: bytes) -> None:
        """Pass the bytes after an upgrade request to the protocol that takes over."""
        protocol = cast(asyncio.Protocol, self.transport.get_protocol())
        if protocol is not self:
            protocol.data_received(rest)

    def on_message_begin(self) -> None:
        """Start a head. Its deadline counts from the connection, or from its first byte."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self.scope["state"][HELD] = self._held

    def on_url(self, url: bytes) -> None:
        """Add a part of the URL."""
        if len(self.url) + len(url) > self._limits.url_bytes_max:
            self._stop_parsing(414, URL)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Trailers are ignored, or they would count as headers of the request."""
        if self._in_body:
            return
        if len(self.headers) >= self._headers_max:
            self._stop_parsing(431, HEADERS)
        # The same as uvicorn's method. Calling it would double the cost of each header.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def _stop_parsing(self, status: int, detail: str) -> NoReturn:
        self._refusal = (status, "head_size", detail)
        raise ValueError(detail)

    def on_headers_complete(self) -> None:
        """Start the response, and await the body."""
        self._stop_timer()
        # `_head_bytes` is 0 for a head that arrived in one piece, which is no longer than a slice.
        if self._head_bytes and self._head_size() > self._limits.head_bytes_max:
            self._stop_parsing(431, HEAD)
        self._in_head, self._in_body = False, True
        version = self.parser.get_http_version()
        self._body_left, self._defect = _framing_of(self.headers, version)
        if self.parser.should_upgrade() and self._should_upgrade():
            self._defect = self._defect_of_upgrade()
        if self._defect:
            self.app = answering(400, self._defect)
        elif self._counted.is_full(len(self.connections)):
            self.app = _IS_FULL
        else:
            self.app = self.config.loaded_app
        super().on_headers_complete()
        if self.cycle is not None:
            self._unanswered.append(self.cycle)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _should_upgrade(self) -> bool:
        # A defective upgrade is handled like a plain request and gets its response in order.
        return not self._defect and super()._should_upgrade()

    def _defect_of_upgrade(self) -> str:
        # The WebSocket protocol takes over the transport, so earlier responses would be lost.
        if self._is_answering:
            return UPGRADE_LATE
        has_body = self._body_left or any(name == b"transfer-encoding" for name, _ in self.headers)
        return UPGRADE_BODY if has_body else ""

    def on_body(self, body: bytes) -> None:
        """Add a part of the body."""
        self._body_left = max(0, self._body_left - len(body))
        self._chunks += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the deadline until the response is sent."""
        self._stop_timer()
        self._in_body, self._body_left = False, 0
        super().on_message_complete()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _awaits_client(self) -> bool:
        # An empty line between requests stops uvicorn's timer without starting a request.
        return self._in_head or self._in_body or not self._is_answering

    def _start_timer(self) -> None:
        limits = self._limits
        delay_s = limits.body_timeout_s if self._in_body else limits.head_timeout_s
        self._deadline = self.loop.time() + delay_s
        # An earlier timer is kept and looks again when it fires, which is cheaper than a new timer
        # for each request.
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer(self._deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_at(at, self._look_at_deadline)

    def _stop_timer(self) -> None:
        self._deadline = None

    def _end_timer(self) -> None:
        self._deadline = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self.loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._time_out()

    def _time_out(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._is_answering:
            # BodyDeadline has the same deadline, and responds with 408.
            self._start_timer()
        elif self._in_head:
            self._refuse(408, "head", "the head of the request did not arrive in time")
        else:
            # Browsers open connections in advance, and would take a 408 for a response.
            self._counted.ended["body" if self._in_body else "head"] += 1
            self.transport.close()

    def _refuse(self, status: int, limit: str, detail: str) -> None:
        self._counted.ended[limit] += 1
        self._stop_timer()
        if self._is_answering and not self._in_body:
            # A response now would be taken for the one to an earlier request. Close after that.
            self._is_over, self._in_head, self.cycle.keep_alive = True, False, False
            return
        is_next = self._is_answering and not (self.pipeline or self.cycle.response_started)
        if is_next or not self._in_body:
            self.transport.write(answer(status, detail))
        self.transport.close()


def _framing_of(headers: Iterable[tuple[bytes, bytes]], version: str) -> tuple[int, str]:
    """Return the declared length of the body in bytes, and the defect of the head, if any.

    The length is 0 for a chunked body and for none. A defect is anything that a proxy could
    interpret in another way than this server (request smuggling); it is empty if there is none.
    """
    hosts, length, codings = 0, b"", []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return 0, HOSTS
    if codings:
        return 0, "" if codings == [b"chunked"] else CODINGS
    return int(length) if length.isdigit() else 0, ""
