"""PostgreSQL's wire protocol as a client speaks it, byte by byte where a test wants so."""

import asyncio
import fcntl
import socket
import struct
import termios
from pathlib import Path
from typing import Self

WAIT_S = 20.0
READ_BYTES = 65536
IDLE = b"Z\0\0\0\5I"


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack(">i", len(body) + 4) + body


def packet(code: int, body: bytes = b"") -> bytes:
    return struct.pack(">ii", len(body) + 8, code) + body


STARTUP = packet(3 << 16, b"user\0postgres\0\0")
SYNC = message("S")
FLUSH = message("H")


def simple(query: str) -> bytes:
    return message("Q", query.encode() + b"\0")


def extended(query: str) -> bytes:
    """Parse, bind and execute, without an end of the batch."""
    parse = message("P", b"\0" + query.encode() + b"\0\0\0")
    return parse + message("B", b"\0\0" + bytes(6)) + message("E", b"\0" + bytes(4))


def kinds(answer: bytes) -> str:
    """Return the types of the messages in an answer."""
    found, at = "", 0
    while at < len(answer):
        found += chr(answer[at])
        at += 1 + int.from_bytes(answer[at + 1 : at + 5])
    return found


class Wire:
    """A connection that says what it is told, in the pieces it is told."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().sock_connect(self._socket, str(self._path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()

    async def ask(self, *pieces: bytes, end: bytes = IDLE) -> bytes:
        await self.send(*pieces)
        return await self.read(end)

    async def send(self, *pieces: bytes) -> None:
        """Send each piece after the other side has read the one before."""
        async with asyncio.timeout(WAIT_S):
            for piece in pieces:
                await asyncio.get_running_loop().sock_sendall(self._socket, piece)
                while self._unread_bytes():
                    await asyncio.sleep(0)

    def _unread_bytes(self) -> int:
        return int.from_bytes(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)), "little")

    async def read(self, end: bytes = b"") -> bytes:
        """Return what comes until it ends so, or until the other side closes."""
        answer = b""
        async with asyncio.timeout(WAIT_S):
            while not (end and answer.endswith(end)):
                part = await asyncio.get_running_loop().sock_recv(self._socket, READ_BYTES)
                if not part:
                    break
                answer += part
        return answer


class Recorder:
    """A relay to a server that remembers what its client said."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.said = bytearray()
        self.ended = asyncio.Event()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, upstream = await asyncio.open_unix_connection(self._path)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy(answers, writer))
            while part := await reader.read(READ_BYTES):
                self.said.extend(part)
                upstream.write(part)
            upstream.close()
        self.ended.set()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(READ_BYTES):
            writer.write(part)
        writer.close()
