"""Answers HEAD wherever GET is allowed, with the same head and without a body."""

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

HEAD = "head"
"""Key of a scope's `state` that marks a HEAD request."""


class HeadAsGet:
    """Passes requests on, and turns HEAD into GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
            state = {**scope.get("state", {}), HEAD: True}
            # A copy, because the server still needs to know that no body may follow.
            scope = {**scope, "method": "GET", "state": state}
            send = _Head(send).send
        await self._app(scope, receive, send)


class _Head:
    """Ends a response where its body would start, so that no stream is read to its end."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not self._is_over:
            self._is_over = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif message["type"] != "http.response.body":
            await self._send(message)


def is_head(scope: Scope) -> bool:
    """Return whether this is a HEAD request, which must not consume anything, such as a link."""
    return bool(scope.get("state", {}).get(HEAD))
