"""Compresses responses with gzip or zstd, as Accept-Encoding allows.

Only responses to GET are compressed. The compressed length reveals something about a secret if an
attacker chooses a text beside it (BREACH). Therefore a response with a secret must never be
compressed. Vigia sends secrets only in responses to POST, and in Set-Cookie, which is not a body.
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
"""Compressed besides text/*, +json and +xml. Other types are compressed already."""


class Compression(ASGIMiddleware):
    """Compresses responses; a stream is compressed part by part."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope.get("method") == "GET":
            send = Answer(accepted(scope), send).send
        await next_app(scope, receive, send)


class Answer:
    """One response. Its head is held back until the first part of the body is known."""

    def __init__(self, encoding: str, send: Send) -> None:
        self._encoding = encoding
        self._send = send
        self._start: HTTPResponseStartEvent | None = None
        self._compressor: Compressor | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # A copy, because a handler may reuse its list of headers for other responses.
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
    """Adapt the headers to a compressed body; without a length the body is a stream."""
    headers = MutableScopeHeaders(start)
    headers["content-encoding"] = encoding
    headers.pop("content-length", None)
    if length is not None:
        headers["content-length"] = str(length)
    etag = headers.get("etag", "")
    if etag and not etag.startswith("W/"):
        # A strong ETag must not stand for two encodings of the same content.
        headers["etag"] = f"W/{etag}"


def accepted(scope: Scope) -> str:
    """Return the supported encoding that a client prefers; an empty text if there is none."""
    given = [value for name, value in scope["headers"] if name == b"accept-encoding"]
    return _best(b",".join(given)) if given else ""


@lru_cache(256)
def _best(header: bytes) -> str:
    wanted = dict(map(_quality, header.decode("latin-1").lower().split(",")))
    qualities = {name: wanted.get(name, wanted.get("*", 0.0)) for name in COMPRESSORS}
    best = max(qualities, key=lambda name: qualities[name])
    return best if qualities[best] > 0 else ""


def _quality(text: str) -> tuple[str, float]:
    """Return an entry of Accept-Encoding; an invalid quality counts as 0, not accepted."""
    name, _, parameter = text.partition(";")
    key, _, value = parameter.partition("=")
    if not parameter:
        return name.strip(), 1.0
    try:
        return name.strip(), float(value) if key.strip() == "q" else 0.0
    except ValueError:
        return name.strip(), 0.0
