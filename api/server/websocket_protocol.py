"""A WebSocket connection: uvicorn's protocol with limits on what clients may send."""

import asyncio
import time
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from api.server.connections import HELD, Connections, RequestConnection
from api.server.paced_transport import PacedTransport
from api.server.plain_answers import FULL, answer

SLICE_BYTES = 1 << 10
"""Most bytes parsed in one turn of the loop: 170 of the shortest frames take a millisecond."""
UNIDENTIFIED_SLICE_BYTES = 256
UNIDENTIFIED_BYTES_MAX = 8 << 10
"""Most bytes that an unauthenticated client may send: it needs one message with its key."""
UNIDENTIFIED_FRAMES_MAX = 16
FRAMES_PER_S = 100.0
"""Frames that a client may send in the long run, control frames included."""
FRAMES_BURST = 1000
FRAGMENTS_MAX = 1024
"""Most frames of one message."""

MUCH = "too many bytes before authentication; send an auth message first"
MANY = "too many frames in a short time; send fewer"
FRAGMENTED = "a message has too many frames; send it in fewer"
NOT_UTF8 = "a text message must be UTF-8"
NOT_A_HANDSHAKE = "this is not a valid WebSocket request"
SLOW = "the WebSocket was not accepted in time; try again"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Parses frames only while the application awaits a message, and limits their number.

    Before authentication the application awaits one message, or none if the request head has a key.
    Everything else waits unparsed. After authentication the client has a budget of frames.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        counted: Connections,
    ) -> None:
        held = RequestConnection(counted, self, self._identify)
        super().__init__(config, server_state, {**app_state, HELD: held})
        self._counted = counted
        self._paced: PacedTransport
        self._timer: asyncio.TimerHandle | None = None
        self._is_awaited = False
        self._is_identified = False
        self._received_bytes = 0
        self._frames_left = float(UNIDENTIFIED_FRAMES_MAX)
        self._counted_at = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether the server is waiting for the client, which is always so."""
        return True

    def give_way(self) -> None:
        """Close the connection at once; send a reason only if the client reads."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self._fail(1013, FULL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection as unauthenticated."""
        given = cast(asyncio.Transport, transport)
        self._paced = PacedTransport(given, self._parse_slice, self._is_ready)
        super().connection_made(cast(asyncio.Transport, self._paced))
        self._timer = self.loop.call_later(self._counted.limits.head_timeout_s, self._time_out)
        host = self.client[0] if self.client else ""
        self._counted.admit(self, host, len(self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop everything that runs for the connection."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)
        self._counted.forget(self, len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, a slice in each turn of the loop."""
        if self.handshake_initiated:
            self._paced.receive(data)
        elif not self.transport.is_closing():
            self._take_head(data)

    def _take_head(self, head: bytes) -> None:
        """Process the head of the request, which uvicorn has parsed and serialized again."""
        super().data_received(head)
        if self.conn.handshake_exc and not self.transport.is_closing():
            # The library creates no event for an invalid head, and uvicorn then never responds.
            self._counted.ended["syntax"] += 1
            self._answer(400, NOT_A_HANDSHAKE)

    def resume_writing(self) -> None:
        """Continue parsing: the client reads again."""
        super().resume_writing()
        self._paced.go_on()

    async def receive(self) -> Any:
        """Parse received bytes until there is an event, and return it."""
        self._is_awaited = True
        self._paced.go_on()
        try:
            return await super().receive()
        finally:
            self._is_awaited = False

    async def send(self, message: Any) -> None:
        """Send to the client. Raises ClientDisconnected if the connection was closed."""
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        self._paced.go_on()

    def send_receive_event_to_app(self) -> None:
        """Pass a complete message to the application; close the connection for invalid UTF-8."""
        if self.curr_msg_data_type == "text":
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self._end(1007, NOT_UTF8, "syntax")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close the connection of a client that violates the protocol."""
        self._counted.ended["syntax"] += 1
        super().handle_parser_exception()

    def _identify(self) -> None:
        self._is_identified = True
        self._frames_left, self._counted_at = float(FRAMES_BURST), time.monotonic()

    def _is_ready(self) -> bool:
        is_read = self._is_awaited or self.close_sent
        return self.handshake_complete and is_read and self.writable.is_set()

    def _parse_slice(self) -> None:
        size = SLICE_BYTES if self._is_identified else UNIDENTIFIED_SLICE_BYTES
        data = self._paced.take(size)
        self._received_bytes += len(data)
        self.conn.receive_data(data)
        self._frames_left -= len(self.conn.events)
        if limit := self._limit():
            self._end(1008, limit, "frames")
        elif self.conn.parser_exc is not None:
            self.handle_parser_exception()
        else:
            self.handle_events()

    def _limit(self) -> str:
        """Return the limit that a client exceeds, as text; empty if none."""
        if not self._is_identified:
            is_over = self._received_bytes > UNIDENTIFIED_BYTES_MAX or self._frames_left < 0
            return MUCH if is_over else ""
        now = time.monotonic()
        more = (now - self._counted_at) * FRAMES_PER_S
        self._frames_left, self._counted_at = min(self._frames_left + more, FRAMES_BURST), now
        if self._frames_left < 0:
            return MANY
        return FRAGMENTED if len(self.frames) > FRAGMENTS_MAX else ""

    def _end(self, code: int, reason: str, limit: str) -> None:
        """Close the connection and count the limit that its client exceeded."""
        self._counted.ended[limit] += 1
        self._fail(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        if not self.handshake_complete:
            # The library refuses to create a response in some states, so write it directly.
            self._answer(503, reason)
        elif not self.close_sent:
            self.conn.fail(code, reason)
            super().handle_parser_exception()
        self.transport.close()

    def _answer(self, status: int, detail: str) -> None:
        """Send an HTTP response to the WebSocket request, and close the connection."""
        self.close_sent = True
        self.transport.write(answer(status, detail))
        self.transport.close()

    def _time_out(self) -> None:
        if not (self.handshake_complete or self.transport.is_closing()):
            self._counted.ended["head"] += 1
            self._fail(1013, SLOW)

    def send_500_response(self) -> None:
        """Respond with status 500 unless the connection is closing."""
        if not self.transport.is_closing():
            super().send_500_response()
