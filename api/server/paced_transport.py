"""Parses received bytes in slices, so that no connection blocks the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any


class PacedTransport:
    """A transport that buffers bytes until its protocol parses them, and stops reading meanwhile.

    `parse` takes one slice from `waiting`, of a size that it chooses. It runs at most once in each
    turn of the loop. It does not run while the protocol has paused reading, while `is_ready`
    returns False, or after the transport was closed. The protocol calls `go_on` when `is_ready`
    may have changed.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        parse: Callable[[], None],
        is_ready: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._parse = parse
        self._is_ready = is_ready
        self._loop = asyncio.get_running_loop()
        self._is_paused = False
        self._is_planned = False
        self.waiting = bytearray()

    def __getattr__(self, name: str) -> Any:
        # Everything except reading is delegated to the transport.
        return getattr(self._transport, name)

    @property
    def is_idle(self) -> bool:
        """Whether new bytes may be parsed at once, because nothing else waits to be parsed."""
        return not (self.waiting or self._is_planned or self._is_paused) and self._is_ready()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if self.waiting:
            self.go_on()
        else:
            self._transport.resume_reading()

    def receive(self, data: bytes) -> None:
        """Buffer received bytes. The first slice is parsed at once: most requests fit into it."""
        self.waiting += data
        if not self._is_planned:
            self._process()

    def take(self, size: int) -> bytes:
        """Remove and return at most `size` waiting bytes."""
        with memoryview(self.waiting) as waiting:
            taken = bytes(waiting[:size])
        del self.waiting[:size]
        return taken

    def release(self) -> asyncio.Transport:
        """Return the transport for another protocol, and stop using it."""
        self._is_paused = True
        self.waiting.clear()
        self._transport.resume_reading()
        return self._transport

    def go_on(self) -> None:
        """Schedule a run in the next turn of the loop, unless one is scheduled."""
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._planned_run)

    def _planned_run(self) -> None:
        self._is_planned = False
        self._process()

    def _process(self) -> None:
        if self.can_parse:
            self._parse()
        if self._transport.is_closing():
            self.waiting.clear()
        elif self.waiting:
            self._transport.pause_reading()
            if self.can_parse:
                self.go_on()
        elif not self._is_paused:
            self._transport.resume_reading()

    @property
    def can_parse(self) -> bool:
        """Whether bytes wait to be parsed, and the protocol accepts them."""
        is_open = not self._is_paused and not self._transport.is_closing()
        return bool(self.waiting) and is_open and self._is_ready()
