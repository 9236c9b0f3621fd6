"""A deadline for the arrival of every request body."""

import asyncio

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.types.asgi_types import ReceiveMessage


class SlowBodyError(HTTPException):
    """The body did not arrive in time."""

    def __init__(self, timeout_s: float) -> None:
        detail = f"the body did not arrive within {timeout_s:g} s; send it again"
        super().__init__(detail, status_code=408, headers={"Connection": "close"})


class BodyDeadline:
    """Passes requests on; reading a body raises SlowBodyError after the deadline."""

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            receive = self._in_time(receive)
        await self._app(scope, receive, send)

    def _in_time(self, receive: Receive) -> Receive:
        ends_at: float | None = None
        is_whole = False

        async def receive_in_time() -> ReceiveMessage:
            nonlocal ends_at, is_whole
            if is_whole:
                # The body is complete. The next message is the disconnect, which may never come.
                return await receive()
            if ends_at is None:
                ends_at = asyncio.get_running_loop().time() + self._timeout_s
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                raise SlowBodyError(self._timeout_s) from None
            is_whole = message["type"] != "http.request" or not message["more_body"]
            return message

        return receive_in_time
