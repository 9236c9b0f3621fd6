"""Responses without the application: a problem as raw bytes, or in place of a handler."""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from api.http.errors import HEADERS, MEDIA_TYPE, Problem

FULL = "too many connections are open; try again soon"

Headers = Sequence[tuple[bytes, bytes]]


def answer(status: int, detail: str) -> bytes:
    """Return the bytes of a response, after which the connection is closed."""
    body, headers = _body(status, detail), _headers(status)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + lines + b"\r\n" + body


def answering(status: int, detail: str) -> ASGIApp:
    """Return an ASGI application that sends one response and closes the connection."""
    body = _body(status, detail)
    headers = [*_headers(status), (b"content-length", str(len(body)).encode())]
    return partial(_answer_instead, status, body, headers)


def _body(status: int, detail: str) -> bytes:
    return msgspec.json.encode(Problem(HTTPStatus(status).phrase, status, detail))


def _headers(status: int) -> list[tuple[bytes, bytes]]:
    more = {"content-type": MEDIA_TYPE, "connection": "close", **HEADERS.get(status, {})}
    return [(name.lower().encode(), value.encode()) for name, value in more.items()]


async def _answer_instead(
    status: int, body: bytes, headers: Headers, _scope: Scope, _receive: Receive, send: Send
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
