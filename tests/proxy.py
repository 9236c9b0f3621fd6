"""A proxy in front of a database, which a test can close, silence and open again."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

PIECE_BYTES = 65536
ENCRYPTION_REQUEST_BYTES = 8
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Relays connections; they can be cut, as a cable or a crash of the server does."""

    def __init__(self, target: str) -> None:
        """Take the address of a server, as a URL or as words."""
        words = conninfo_to_dict(target)
        self._target = target
        self._host, self._port = str(words.get("host", "127.0.0.1")), int(words.get("port", 5432))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._may_pass = asyncio.Event()
        self._may_pass.set()
        self._stranded: list[asyncio.Event] = []
        self.takes_new = True
        """Whether it relays new connections. Else it reads and closes them: to a client that asks
        to cancel a statement this means yes."""

    @property
    def dsn(self) -> str:
        """The address of the server through the proxy, as words."""
        return make_conninfo(self._target, host="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        """The address of the server through the proxy, as a URL."""
        parts = urlsplit(self._target)
        netloc = f"{parts.username}:{parts.password}@127.0.0.1:{self.port}"
        return parts._replace(netloc=netloc).geturl()

    def lead_to(self, port: int) -> None:
        """Relay new connections to another port of the same host."""
        self._port = port

    async def listen(self) -> None:
        self._may_pass.set()
        await self.take_new()

    async def take_new(self) -> None:
        """Take connections again; in a frozen proxy no byte passes on them."""
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Take no connection any more, and reset all there are."""
        if self._server is not None:
            self._server.close()
            for may_pass in (self._may_pass, *self._stranded):
                may_pass.set()
            self.reset()
            await self._server.wait_closed()
            self._server = None

    def freeze(self) -> None:
        """Keep every connection, take new ones, and let no byte pass in either direction."""
        self._may_pass.clear()

    def strand(self) -> None:
        """Keep every connection and let no byte pass on it any more; new ones are relayed."""
        self._may_pass.clear()
        self._stranded.append(self._may_pass)
        self._may_pass = asyncio.Event()
        self._may_pass.set()

    def reset(self) -> None:
        for writer in list(self._open):
            with suppress(OSError):  # It may be closed already.
                made = writer.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.takes_new:
            await _read_and_close(reader, writer)
            return
        self._open.add(writer)
        try:
            answers, upstream = await self._connect()
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(upstream)
        may_pass = self._may_pass
        await asyncio.gather(
            self._copy(reader, upstream, may_pass), self._copy(answers, writer, may_pass)
        )
        self._open -= {writer, upstream}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await may_pass.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()


async def _read_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what a client wants and hang up, which is how a server says that it took a cancel."""
    while len(await reader.read(PIECE_BYTES)) == ENCRYPTION_REQUEST_BYTES:
        writer.write(b"N")
    writer.close()


@asynccontextmanager
async def proxy_of(target: str) -> AsyncIterator[Proxy]:
    """Open a proxy in front of a server."""
    proxy = Proxy(target)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.refuse()
