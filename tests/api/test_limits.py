"""Every route has a concurrency limit, which one key's requests cannot take from another's."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from litestar.handlers import HTTPRouteHandler

from api.app import OPEN_ROUTES, ROUTES
from api.limits import AT_ONCE, CONCURRENCY, KEY_SHARE, WAITING_MAX, Concurrency
from db.pool import REQUESTS_CONNECTIONS_MAX
from vigia.model import Role

UNLIMITED = {
    "first_page",
    "base_map",
    "docs_page",
    # They take a slot themselves.
    "health.read",
    "history.read",
    "ingest",
    "otlp.receive",
    "remote_write.receive",
}


def name_of(handler: HTTPRouteHandler) -> str:
    function = handler.fn
    module = function.__module__.rpartition(".")[2]
    return function.__name__ if function.__name__ in UNLIMITED else f"{module}.{function.__name__}"


def test_only_these_routes_are_without_a_limit() -> None:
    handlers = [one for one in ROUTES if isinstance(one, HTTPRouteHandler)]
    free = [one for one in handlers if (one.opt or {}).get(CONCURRENCY) is Concurrency.NONE]

    assert {name_of(one) for one in free} == UNLIMITED
    assert not any((one.opt or {}).get(CONCURRENCY) for one in OPEN_ROUTES if hasattr(one, "opt"))


def test_limits_together_leave_no_request_waiting_for_a_connection() -> None:
    others = {Concurrency.HISTORY, Concurrency.EXPORT, Concurrency.PRESENT}
    running = sum(many for limit, many in AT_ONCE.items() if limit not in others)

    assert running <= REQUESTS_CONNECTIONS_MAX


async def test_requests_of_one_key_leave_room_for_those_of_another(service: Any) -> None:
    limiter = service.parts.limiters[Concurrency.REQUESTS]
    share = WAITING_MAX[Concurrency.REQUESTS] // KEY_SHARE
    async with AsyncExitStack() as held:
        for _ in range(AT_ONCE[Concurrency.REQUESTS]):
            await held.enter_async_context(limiter.slot("somebody"))
        many = [asyncio.create_task(service.get("/alerts/active")) for _ in range(share + 5)]
        refused, _ = await asyncio.wait(many, timeout=2, return_when=asyncio.FIRST_COMPLETED)
        other = asyncio.create_task(service.get("/alerts/active", Role.ADMIN))
        # What is answered from memory waits for nobody.
        assert (await service.get("/health")).status == 200
        assert not other.done()
    answers = await asyncio.gather(*many)

    assert (await other).status == 200
    assert refused
    too_many = [answer for answer in answers if answer.status == 503]
    assert len(too_many) == 5
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in too_many)
    assert limiter.usage().running == 0
