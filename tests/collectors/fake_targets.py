"""Servers as they are outside: well, ill-mannered or silent, byte by byte."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

from runtime.network.egress import Egress, open_egress

CERTIFICATES = Path(__file__).with_name("certificates")
HEAD_BYTES_MAX = 65536

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Outside:
    """A server on loopback that does to each connection what `act` says, which may be replaced."""

    def __init__(self, act: Act, *, tls: ssl.SSLContext | None = None) -> None:
        self.act = act
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self.act(reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer 200 and say what was asked, in `heads`."""
        await self.heard(reader)
        writer.write(response(200, b"well"))
        await writer.drain()

    async def heard(self, reader: asyncio.StreamReader) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())


@contextlib.asynccontextmanager
async def outside(
    act: Act | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    hosts: tuple[str, ...] = ("127.0.0.1",),
) -> AsyncIterator[Outside]:
    """Serve until the block ends; without `act`, well."""
    server = Outside(act or silence, tls=tls)
    server.act = act or server.answer
    listening: list[asyncio.Server] = []
    try:
        for host in hosts:
            listening.append(await asyncio.start_server(server.serve, host, server.port, ssl=tls))
            server.port = listening[-1].sockets[0].getsockname()[1]
        yield server
    finally:
        for each in listening:
            each.close()
        await server.close()


def response(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def saying(text: bytes) -> Act:
    """Answer with these bytes, whatever is asked."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        await reader.read()

    return act


def redirecting(*locations: str) -> Act:
    """Redirect to each in turn, and to the last for ever."""
    left = list(locations)

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        location = left.pop(0) if len(left) > 1 else left[0]
        await saying(response(302, b"", f"Location: {location}"))(reader, writer)

    return act


def dripping(at_once: bytes, then: bytes = b"x", pause_s: float = 0.05) -> Act:
    """Say something at once, then drip for ever."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(at_once)
        while True:
            writer.write(then)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return act


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Never answer, and leave when the other side does."""
    while await reader.read(HEAD_BYTES_MAX):
        pass


async def close_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def showing(name: str) -> ssl.SSLContext:
    """Return the TLS of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


@contextlib.asynccontextmanager
async def loopback_egress() -> AsyncIterator[Egress]:
    """Open a door that leads to loopback too, and trusts the certificates of the tests."""
    async with open_egress(["127.0.0.0/8"]) as egress:
        for path in CERTIFICATES.glob("*.pem"):
            egress._verified.load_verify_locations(path)
            egress.tls.load_verify_locations(path)
        yield egress
