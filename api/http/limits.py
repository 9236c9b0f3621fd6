"""Which requests share which concurrency limit. Every route has one, unless it says why not."""

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
    """For making a page of an export."""
    OPEN_EXPORT = "open_export"
    """For an export from its beginning to its end, however slowly it is read."""
    OPEN_ADMIN_EXPORT = "open_admin_export"
    """The same for admins, whom no other keys may keep out."""
    PREVIEW = "preview"
    EXPOSITION = "exposition"
    CHANNEL_TEST = "channel_test"
    """For a message that is sent at once: it waits for a provider, and needs no connection then."""


AT_ONCE: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 2,
    Concurrency.REQUESTS: 3,
    Concurrency.ANALYSIS: 1,
    Concurrency.EXPOSITION: 1,
    Concurrency.PREVIEW: 1,
    # These two have connections of their own: of a pool that may lead to a replica, or, in the
    # embedded engine, as many more in the pool of the others.
    Concurrency.HISTORY: 4,
    Concurrency.EXPORT: 2,
    # These need memory for the page that is sent, and no connection.
    Concurrency.OPEN_EXPORT: 8,
    Concurrency.OPEN_ADMIN_EXPORT: 4,
    # This waits for a provider, and shares two connections of the service's own.
    Concurrency.CHANNEL_TEST: 4,
}
AT_ONCE_PER_KEY: Mapping[Concurrency, int] = {
    Concurrency.OPEN_EXPORT: 2,
    Concurrency.OPEN_ADMIN_EXPORT: 2,
}
"""How many of one key run at once, where that is fewer."""
WAITING_MAX: Mapping[Concurrency, int] = {
    Concurrency.PRESENT: 512,
    Concurrency.REQUESTS: 128,
    Concurrency.ANALYSIS: 16,
    Concurrency.EXPOSITION: 16,
    Concurrency.PREVIEW: 8,
    Concurrency.HISTORY: 64,
    # All that are open may wait for their next page.
    Concurrency.EXPORT: 12,
    Concurrency.OPEN_EXPORT: 8,
    Concurrency.OPEN_ADMIN_EXPORT: 8,
    Concurrency.CHANNEL_TEST: 8,
}
KEY_SHARE = 2
"""Of the places in which requests wait, one key takes at most one in so many."""
REFUSAL_DELAY_S = 0.5


class Limiters:
    """One limiter for each limit."""

    def __init__(self) -> None:
        self._limiters = {limit: _limiter(limit) for limit in AT_ONCE}

    def __getitem__(self, limit: Concurrency) -> Limiter:
        return self._limiters[limit]

    def usage(self) -> Iterator[tuple[str, Usage]]:
        """Yield how each limit is used."""
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
