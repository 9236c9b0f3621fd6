"""Every route has a concurrency limit, and one key cannot use up the places of another."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler

from accounts import keys
from api.app import OPEN_ROUTES, ROUTES
from api.http.limits import (
    AT_ONCE,
    AT_ONCE_PER_KEY,
    CONCURRENCY,
    KEY_SHARE,
    WAITING_MAX,
    Concurrency,
)
from db.pool import READER_CONNECTIONS_MAX, REQUESTS_CONNECTIONS_MAX
from model.errors import UnavailableError
from model.principal import Role
from model.times import utc_now
from tests.api.conftest import ADMIN_KEY, BASE
from tests.api.server.serving import until

UNLIMITED = {
    "first_page",
    "base_map",
    "docs_page",
    # They take a slot themselves.
    "health.read",
    "history.read",
    "ingest",
    "otlp_routes.receive",
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
    """Where one pool serves both, it has the connections of both."""
    past = {Concurrency.HISTORY, Concurrency.EXPORT}
    without = {
        Concurrency.PRESENT,
        Concurrency.OPEN_EXPORT,
        Concurrency.OPEN_ADMIN_EXPORT,
        Concurrency.CHANNEL_TEST,
    }
    running = sum(AT_ONCE[limit] for limit in AT_ONCE.keys() - past - without)

    assert running <= REQUESTS_CONNECTIONS_MAX
    assert sum(AT_ONCE[limit] for limit in past) <= READER_CONNECTIONS_MAX


def test_every_open_export_may_wait_for_its_page() -> None:
    most = AT_ONCE[Concurrency.OPEN_EXPORT] + AT_ONCE[Concurrency.OPEN_ADMIN_EXPORT]
    own = max(AT_ONCE_PER_KEY.values())

    assert most <= WAITING_MAX[Concurrency.EXPORT]
    assert own <= WAITING_MAX[Concurrency.EXPORT] // KEY_SHARE


async def test_requests_of_one_key_leave_room_for_those_of_another(service: Any) -> None:
    limiter = service.context.limiters[Concurrency.REQUESTS]
    share = WAITING_MAX[Concurrency.REQUESTS] // KEY_SHARE
    for role in (Role.VIEWER, Role.ADMIN):
        # From here on the keys are known, and no request waits for one to be looked up.
        assert (await service.get("/alerts/active", role)).status == 200
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


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        (f"{BASE}/alerts/active", Concurrency.REQUESTS),
        (f"{BASE}/metrics/history?metric=m", Concurrency.HISTORY),
    ],
)
async def test_a_key_that_is_named_as_the_bootstrap_key_takes_nothing_of_its_share(
    service: Any, path: str, limit: Concurrency
) -> None:
    await service.declare("m")
    limiter = service.context.limiters[limit]
    async with service.context.connect() as connection:
        await keys.revoke(connection, "admin", utc_now(), "test")
    viewer = await service.new_key("admin", Role.VIEWER)
    assert (await service.ask(path, None, headers=bearer(viewer))).status == 200
    async with AsyncExitStack() as held:
        for _ in range(AT_ONCE[limit]):
            await held.enter_async_context(limiter.slot("somebody"))
        share = WAITING_MAX[limit] // KEY_SHARE
        many = [
            asyncio.create_task(service.ask(path, None, headers=bearer(viewer)))
            for _ in range(share)
        ]
        await until(lambda: limiter.usage().waiting == share)
        admin = asyncio.create_task(service.ask(path, None, headers=bearer(ADMIN_KEY)))
        await until(lambda: limiter.usage().waiting == share + 1 or admin.done())

    assert (await admin).status == 200
    assert {answer.status for answer in await asyncio.gather(*many)} == {200}


async def test_two_keys_that_take_every_place_keep_no_admin_out(service: Any) -> None:
    limiter, most = (
        service.context.limiters[Concurrency.REQUESTS],
        WAITING_MAX[Concurrency.REQUESTS],
    )
    leave = asyncio.Event()

    async def visit(key: str) -> None:
        async with limiter.slot(key):
            await leave.wait()

    many = [asyncio.create_task(visit(key)) for _ in range(70) for key in ("a", "b")]
    await until(lambda: limiter.usage().waiting == most)
    admin = asyncio.create_task(service.get("/alerts/active", Role.ADMIN))
    # Its key is looked up, and then it displaces another.
    await until(lambda: len(limiter._queues) == 3 or admin.done())
    leave.set()

    assert (await admin).status == 200
    ended = await asyncio.gather(*many, return_exceptions=True)
    refused = 140 - AT_ONCE[Concurrency.REQUESTS] - most
    assert sum(isinstance(one, UnavailableError) for one in ended) == refused + 1
    assert (limiter.usage().running, limiter.usage().waiting) == (0, 0)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
