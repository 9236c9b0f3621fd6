"""Answers are compressed for those who can read it: gzip or zstd, as Accept-Encoding says.

Only answers to GET are. Compressed length tells something of a text that stands beside one that its
reader chose, so that an answer that holds a secret must never be compressed: those are answers to
POST, which are left alone, and Set-Cookie, which is no part of a body.
"""

import asyncio
import zlib
from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

import cramjam
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

BYTES_MIN = 1000
"""A smaller answer fits into one packet as it is."""
GZIP_LEVEL = 4
ZSTD_LEVEL = 3
THREAD_BYTES_MIN = 16 << 10
"""More than this takes longer than the loop can spare."""
TYPES = frozenset(
    {
        "application/json",
        "application/javascript",
        "application/openmetrics-text",
        "application/vnd.apache.arrow.stream",
        "application/x-ndjson",
        "application/xml",
        "image/svg+xml",
    }
)
"""With text/* and all that ends in +json or +xml; others are compressed in themselves."""


class Compressor(Protocol):
    """Compresses one answer; what `add` returns can be read at once."""

    @abstractmethod
    def add(self, content: bytes) -> bytes: ...

    @abstractmethod
    def finish(self, content: bytes) -> bytes: ...


class Gzip:
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)

    def add(self, content: bytes) -> bytes:
        return self._deflate.compress(content) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, content: bytes) -> bytes:
        return self._deflate.compress(content) + self._deflate.flush()


class Zstd:
    def __init__(self) -> None:
        self._zstd = cramjam.zstd.Compressor(ZSTD_LEVEL)

    def add(self, content: bytes) -> bytes:
        self._zstd.compress(content)
        return bytes(self._zstd.flush())

    def finish(self, content: bytes) -> bytes:
        self._zstd.compress(content)
        return bytes(self._zstd.finish())


COMPRESSORS: Mapping[str, type[Compressor]] = {"zstd": Zstd, "gzip": Gzip}
"""By their names in Content-Encoding, the better first."""


class Compression(ASGIMiddleware):
    """Compresses answers, each part of a stream as it comes."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope.get("method") == "GET":
            send = Answer(accepted(scope), send).send
        await next_app(scope, receive, send)


class Answer:
    """One answer on its way out; its head waits for the first part of its body."""

    def __init__(self, encoding: str, send: Send) -> None:
        self._encoding = encoding
        self._send = send
        self._start: HTTPResponseStartEvent | None = None
        self._compressor: Compressor | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # A handler may send the same headers again and again.
            message = {**message, "headers": list(message["headers"])}
            if not _is_compressible(message):
                await self._send(message)
                return
            _vary(message)
            if not self._encoding:
                await self._send(message)
                return
            self._start = message
        elif message["type"] == "http.response.body" and (self._start or self._compressor):
            await self._send_body(message)
        else:
            await self._send(message)

    async def _send_body(self, message: HTTPResponseBodyEvent) -> None:
        content, is_last = message["body"], not message["more_body"]
        start, self._start = self._start, None
        if start is not None and is_last and len(content) < BYTES_MIN:
            await self._send(start)
            await self._send(message)
            return
        if start is not None:
            self._compressor = COMPRESSORS[self._encoding]()
        body = await self._compress(content, is_last=is_last)
        if start is not None:
            _encode(start, self._encoding, len(body) if is_last else None)
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def _compress(self, content: bytes, *, is_last: bool) -> bytes:
        assert self._compressor is not None  # noqa: S101 (set with the first part)
        step = self._compressor.finish if is_last else self._compressor.add
        if len(content) < THREAD_BYTES_MIN:
            return step(content)
        return await asyncio.to_thread(step, content)


def _is_compressible(start: HTTPResponseStartEvent) -> bool:
    headers = MutableScopeHeaders(start)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = media_type.startswith("text/") or media_type.endswith(("+json", "+xml"))
    is_whole = start["status"] not in {204, 206, 304}
    return is_whole and "content-encoding" not in headers and (is_text or media_type in TYPES)


def _vary(start: HTTPResponseStartEvent) -> None:
    headers = MutableScopeHeaders(start)
    known = headers.get("vary", "")
    if "accept-encoding" not in known.lower():
        headers["vary"] = f"{known}, Accept-Encoding" if known else "Accept-Encoding"


def _encode(start: HTTPResponseStartEvent, encoding: str, length: int | None) -> None:
    """Describe a body that is now compressed; without a length it is a stream."""
    headers = MutableScopeHeaders(start)
    headers["content-encoding"] = encoding
    headers.pop("content-length", None)
    if length is not None:
        headers["content-length"] = str(length)
    etag = headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        # The same content in other bytes: as a strong tag it would stand for both.
        headers["etag"] = f"W/{etag}"


def accepted(scope: Scope) -> str:
    """Return the encoding that a client wants most and we have; empty for none."""
    given = [
        value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-encoding"
    ]
    wanted = dict(map(_quality, ",".join(given).lower().split(",")))
    qualities = {name: wanted.get(name, wanted.get("*", 0.0)) for name in COMPRESSORS}
    best = max(qualities, key=lambda name: qualities[name])
    return best if qualities[best] > 0 else ""


def _quality(text: str) -> tuple[str, float]:
    """Return one entry of Accept-Encoding; a quality that is none counts as not wanted."""
    name, _, parameter = text.partition(";")
    key, _, value = parameter.partition("=")
    if not parameter:
        return name.strip(), 1.0
    try:
        return name.strip(), float(value) if key.strip() == "q" else 0.0
    except ValueError:
        return name.strip(), 0.0
