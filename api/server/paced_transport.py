"""Received bytes are parsed a slice at a time, so that no connection holds the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any


class PacedTransport:
    """A transport that keeps what its protocol has not parsed yet, and reads no more meanwhile.

    `parse` takes one slice from `waiting`, of whatever size suits what comes next. It runs at most
    once in each turn of the loop, and neither while the protocol has paused reading, nor while
    `is_ready` says no, nor after the transport was closed. A protocol says `go_on` when `is_ready`
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
        # Everything that has nothing to do with reading is the transport's own.
        return getattr(self._transport, name)

    @property
    def is_idle(self) -> bool:
        """Whether what is read now may be parsed at once: nothing came before it, or is awaited."""
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
        """Take what was read. The first slice is parsed at once: most requests are no more."""
        self.waiting += data
        if not self._is_planned:
            self._process()

    def take(self, size: int) -> bytes:
        """Return the next bytes that wait, at most so many."""
        with memoryview(self.waiting) as waiting:
            taken = bytes(waiting[:size])
        del self.waiting[:size]
        return taken

    def release(self) -> asyncio.Transport:
        """Return the transport for another protocol, and do nothing more with it."""
        self._is_paused = True
        self.waiting.clear()
        self._transport.resume_reading()
        return self._transport

    def go_on(self) -> None:
        """Plan the next turn, where there is something to do in it."""
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
        """Whether there is something to parse, and the protocol wants it."""
        is_open = not self._is_paused and not self._transport.is_closing()
        return bool(self.waiting) and is_open and self._is_ready()
