"""Answers are compressed for those who can read it: gzip or zstd, as Accept-Encoding says.

Only answers to GET are. Compressed length tells something of a text that stands beside one that its
reader chose, so that an answer that holds a secret must never be compressed: those are answers to
POST, which are left alone, and Set-Cookie, which is no part of a body.
"""

from functools import lru_cache

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPResponseBodyEvent, HTTPResponseStartEvent

from runtime.compression import BYTES_MIN, COMPRESSORS, Compressor, once_of, run

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
        body = await self._compress(content, is_last=is_last)
        if start is not None:
            _encode(start, self._encoding, len(body) if is_last else None)
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def _compress(self, content: bytes, *, is_last: bool) -> bytes:
        if self._compressor is None:
            if is_last and (known := once_of(content)):
                return await known.compressed(self._encoding)
            self._compressor = COMPRESSORS[self._encoding]()
        step = self._compressor.finish if is_last else self._compressor.add
        return await run(step, content)


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
    given = [value for name, value in scope["headers"] if name == b"accept-encoding"]
    return _best(b",".join(given)) if given else ""


@lru_cache(256)
def _best(header: bytes) -> str:
    wanted = dict(map(_quality, header.decode("latin-1").lower().split(",")))
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
