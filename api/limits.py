"""Which requests share which concurrency limit. Every route has one, unless it says why not."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.door import refuse
from api.limiter import Limiter, Usage
from vigia.model import UnavailableError

CONCURRENCY = "concurrency"
"""Key of a handler's `opt`: its limit. Without it, `Concurrency.REQUESTS`."""


class Concurrency(StrEnum):
    """The limits. Together they let no more run than requests have connections."""

    NONE = "none"
    """For what costs nothing, or is limited in another way."""
    PRESENT = "present"
    """For what is answered from memory: it needs no connection, only its turn."""
    REQUESTS = "requests"
    ANALYSIS = "analysis"
    HISTORY = "history"
    EXPORT = "export"
    PREVIEW = "preview"
    EXPOSITION = "exposition"


AT_ONCE: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 2,
    Concurrency.REQUESTS: 3,
    Concurrency.ANALYSIS: 1,
    Concurrency.EXPOSITION: 1,
    Concurrency.PREVIEW: 1,
    # These two have connections of their own, to a replica where there is one.
    Concurrency.HISTORY: 4,
    Concurrency.EXPORT: 2,
}
WAITING_MAX: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 512,
    Concurrency.REQUESTS: 128,
    Concurrency.ANALYSIS: 16,
    Concurrency.EXPOSITION: 16,
    Concurrency.PREVIEW: 8,
    Concurrency.HISTORY: 64,
    Concurrency.EXPORT: 8,
}
KEY_SHARE = 2
"""Of the places in which requests wait, one key takes at most one in so many."""


class Limiters:
    """One limiter for each limit."""

    def __init__(self) -> None:
        self._limiters = {
            limit: Limiter(at_once, WAITING_MAX[limit], WAITING_MAX[limit] // KEY_SHARE)
            for limit, at_once in AT_ONCE.items()
        }

    def __getitem__(self, limit: Concurrency) -> Limiter:
        return self._limiters[limit]

    def usage(self) -> Iterator[tuple[str, Usage]]:
        """Yield how each limit is used."""
        for limit, limiter in self._limiters.items():
            yield limit.value, limiter.usage()


class LimitMiddleware(ASGIMiddleware):
    """Holds a slot of its limit for a request until its answer begins.

    Sending is no work of the database: a client that reads slowly keeps nobody waiting.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, limiters: Limiters) -> None:
        self._limiters = limiters

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        limit, user = _limit_of(scope), scope.get("user")
        if limit is Concurrency.NONE or user is None:
            await next_app(scope, receive, send)
            return
        limiter, is_held = self._limiters[limit], True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                limiter.release()

        async def send_released(message: Message) -> None:
            if message["type"] == "http.response.start":
                release()
            await send(message)

        try:
            await limiter.acquire(user.name)
        except UnavailableError as refusal:
            await refuse(scope, receive, send, refusal)
            return
        try:
            await next_app(scope, receive, send_released)
        finally:
            release()


def _limit_of(scope: Scope) -> Concurrency:
    handler: Any = scope.get("route_handler")
    if handler is None:
        return Concurrency.NONE
    found: Concurrency = handler.opt.get(CONCURRENCY, Concurrency.REQUESTS)
    return found
