"""WebSockets on one connection: uvicorn's protocol, with limits on what clients may send."""

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
"""How much is parsed in one turn of the loop: 170 of the shortest frames take a millisecond."""
UNIDENTIFIED_SLICE_BYTES = 256
UNIDENTIFIED_BYTES_MAX = 8 << 10
"""What a client may send before it is known: one message with its key is all it needs."""
UNIDENTIFIED_FRAMES_MAX = 16
FRAMES_PER_S = 100.0
"""How many frames a client may send in the long run, those of control included."""
FRAMES_BURST = 1000
FRAGMENTS_MAX = 1024
"""How many frames one message may come in."""

MUCH = "too much was sent before a key was shown"
MANY = "too many frames in a short time"
FRAGMENTED = "a message in too many frames"
NOT_UTF8 = "text must be UTF-8"
NOT_A_HANDSHAKE = "this is not a request for a WebSocket that can be understood"
SLOW = "the WebSocket was not accepted in time; try again"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Parses a client's frames while the application awaits a message, and ends who sends too many.

    Before a client is known the application awaits one message, or none where the head of the
    request has the key: all else waits unparsed. From then on the client has a budget of frames.
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
        """Whether the client has to send something before anything happens."""
        return True

    def give_way(self) -> None:
        """End the connection at once: a client that does not read is told nothing."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self._fail(1013, FULL)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection among those of nobody, until it has shown a key."""
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
        """Parse what came, a slice in each turn of the loop."""
        if self.handshake_initiated:
            self._paced.receive(data)
        elif not self.transport.is_closing():
            self._take_head(data)

    def _take_head(self, head: bytes) -> None:
        """Take the head of the request, in uvicorn's words, who has parsed it already."""
        super().data_received(head)
        if self.conn.handshake_exc and not self.transport.is_closing():
            # The library made no event of the head, and without one uvicorn answers nothing.
            self._counted.ended["syntax"] += 1
            self._answer(400, NOT_A_HANDSHAKE)

    def resume_writing(self) -> None:
        """Take what the client sends: it reads again what it is sent."""
        super().resume_writing()
        self._paced.go_on()

    async def receive(self) -> Any:
        """Return the next event, and parse what comes until there is one."""
        self._is_awaited = True
        self._paced.go_on()
        try:
            return await super().receive()
        finally:
            self._is_awaited = False

    async def send(self, message: Any) -> None:
        """Send to the client. Raises ClientDisconnected after its connection was ended."""
        if self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        self._paced.go_on()

    def send_receive_event_to_app(self) -> None:
        """Hand a whole message to the application, if its text is one."""
        if self.curr_msg_data_type == "text":
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self._end(1007, NOT_UTF8, "syntax")
                return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """End the connection of a client that does not keep to the protocol."""
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
        """Return what a client has done too much of; empty for nothing."""
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
        """End the connection for what its client did."""
        self._counted.ended[limit] += 1
        self._fail(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        if self.transport.is_closing():
            return
        if not self.handshake_complete:
            # The library may be in any state, and refuses to be asked for an answer in some.
            self._answer(503, reason)
        elif not self.close_sent:
            self.conn.fail(code, reason)
            super().handle_parser_exception()
        self.transport.close()

    def _answer(self, status: int, detail: str) -> None:
        """Answer the request for a WebSocket as HTTP, and end the connection."""
        self.close_sent = True
        self.transport.write(answer(status, detail))
        self.transport.close()

    def _time_out(self) -> None:
        if not (self.handshake_complete or self.transport.is_closing()):
            self._counted.ended["head"] += 1
            self._fail(1013, SLOW)

    def send_500_response(self) -> None:
        """Answer that the application has failed, unless there was an answer."""
        if not self.transport.is_closing():
            super().send_500_response()
