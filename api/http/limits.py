"""The concurrency limit of each route. Every route has one, unless it opts out with a reason."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.http.access import refuse
from api.http.limiter import Limiter, Usage
from model.errors import UnavailableError
from model.principal import holder_of

CONCURRENCY = "concurrency"
"""Key of a handler's `opt`: its limit. The default is `Concurrency.REQUESTS`."""


class Concurrency(StrEnum):
    """The limits. Together they allow no more requests than there are connections."""

    NONE = "none"
    """For routes that cost nothing, or are limited in another way."""
    PRESENT = "present"
    """For responses from memory, which need no connection."""
    REQUESTS = "requests"
    ANALYSIS = "analysis"
    HISTORY = "history"
    EXPORT = "export"
    """For reading a page of an export."""
    OPEN_EXPORT = "open_export"
    """For a whole export, however slowly the client reads it."""
    OPEN_ADMIN_EXPORT = "open_admin_export"
    """For exports of admins, so that other keys cannot use up their places."""
    PREVIEW = "preview"
    EXPOSITION = "exposition"
    CHANNEL_TEST = "channel_test"
    """For test messages, which wait for a provider and need no connection meanwhile."""


AT_ONCE: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 2,
    Concurrency.REQUESTS: 3,
    Concurrency.ANALYSIS: 1,
    Concurrency.EXPOSITION: 1,
    Concurrency.PREVIEW: 1,
    # These two have connections of their own: in the pool of the replica or, on the embedded
    # engine, as additional connections in the common pool.
    Concurrency.HISTORY: 4,
    Concurrency.EXPORT: 2,
    # These need memory for the page that is being sent, but no connection.
    Concurrency.OPEN_EXPORT: 8,
    Concurrency.OPEN_ADMIN_EXPORT: 4,
    # This waits for a provider, and shares two connections of the service's own.
    Concurrency.CHANNEL_TEST: 4,
}
AT_ONCE_PER_KEY: Mapping[Concurrency, int] = {
    Concurrency.OPEN_EXPORT: 2,
    Concurrency.OPEN_ADMIN_EXPORT: 2,
}
"""How many requests of one key run at once, if fewer than the limit."""
WAITING_MAX: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 512,
    Concurrency.REQUESTS: 128,
    Concurrency.ANALYSIS: 16,
    Concurrency.EXPOSITION: 16,
    Concurrency.PREVIEW: 8,
    Concurrency.HISTORY: 64,
    # Every open export may wait for its next page.
    Concurrency.EXPORT: 12,
    Concurrency.OPEN_EXPORT: 8,
    Concurrency.OPEN_ADMIN_EXPORT: 8,
    Concurrency.CHANNEL_TEST: 8,
}
KEY_SHARE = 2
"""One key takes at most 1/KEY_SHARE of the waiting places."""
REFUSAL_DELAY_S = 0.5


class Limiters:
    """The limiters, one for each limit."""

    def __init__(self) -> None:
        self._limiters = {limit: _limiter(limit) for limit in AT_ONCE}

    def __getitem__(self, limit: Concurrency) -> Limiter:
        return self._limiters[limit]

    def usage(self) -> Iterator[tuple[str, Usage]]:
        """Yield the name and the usage of each limit."""
        for limit, limiter in self._limiters.items():
            yield limit.value, limiter.usage()


def _limiter(limit: Concurrency) -> Limiter:
    waiting_max = WAITING_MAX[limit]
    return Limiter(
        AT_ONCE[limit],
        waiting_max,
        waiting_max // KEY_SHARE,
        REFUSAL_DELAY_S,
        at_once_per_key=AT_ONCE_PER_KEY.get(limit),
    )


class LimitMiddleware(ASGIMiddleware):
    """Holds a slot of the route's limit from the request until the response starts.

    Sending needs no database, so a client that reads slowly keeps nobody waiting.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, limiters: Limiters) -> None:
        self._limiters = limiters

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        limit, user = _limit_of(scope), scope.get("user")
        if limit is Concurrency.NONE or user is None:
            await next_app(scope, receive, send)
            return
        limiter, key, is_held = self._limiters[limit], holder_of(user), True

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                limiter.release(key)

        async def send_released(message: Message) -> None:
            if message["type"] == "http.response.start":
                release()
            await send(message)

        try:
            await limiter.acquire(key)
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
