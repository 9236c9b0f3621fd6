"""Delayed responses to wrong keys hold few connections, which are the first to be closed."""

from typing import Any

import pytest
from litestar.types import Scope
from msgspec.structs import replace

from api.app import create_app
from api.server.connections import Limits, delay
from tests.api.conftest import ADMIN_KEY
from tests.api.server.serving import (
    GET,
    Gate,
    answer_of,
    check_problem,
    serving,
    until,
    until_closed,
)


async def test_wrong_keys_do_not_delay_a_valid_key_of_the_same_address(
    service: Any,
) -> None:
    ask = b"GET /api/v1/monitoring HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
    limits = replace(Limits(), connections_max=100, address_max=30)
    async with serving(limits, app=create_app(service.context)) as serves:
        for _ in range(60):
            await serves.connect(ask % b"wrong")
        await until(lambda: service.context.auth.throttle.delayed >= 16)
        for _ in range(30):
            await serves.connect(ask % b"wrong")
            assert (await serves.ask(ask % ADMIN_KEY.encode())).startswith(b"HTTP/1.1 200")

        assert serves.connections.status()["delayed"] <= 16


async def test_a_wrong_key_beyond_those_that_are_delayed_is_refused_and_its_connection_ends(
    service: Any,
) -> None:
    ask = b"GET /api/v1/monitoring HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n\r\n"
    async with serving(Limits(delayed_address_max=0), app=create_app(service.context)) as serves:
        for _ in range(20):
            assert b"connection: close" not in await serves.ask(ask)

        check_problem(await until_closed(await serves.connect(ask)), 401)


async def test_a_connection_whose_answer_is_delayed_gives_way_before_all_others() -> None:
    limits = replace(Limits(), connections_max=4, address_max=1000)
    async with serving(limits) as serves:
        idle = await serves.connect()
        delayed = [await serves.connect(GET.replace(b"/ok", b"/penalty")) for _ in range(3)]
        await until(lambda: serves.connections.status()["delayed"] == 3)

        for reader in delayed:
            assert (await serves.ask()).startswith(b"HTTP/1.1 200")
            assert await until_closed(reader) == b""
        assert not idle.at_eof()
        assert serves.connections.status()["delayed"] == 0


async def test_an_address_s_newest_connection_lives_while_an_answer_of_it_is_delayed() -> None:
    limits = replace(Limits(), connections_max=100, address_max=2, delayed_address_max=2)
    async with serving(limits) as serves:
        for _ in range(2):
            await serves.connect(GET.replace(b"/ok", b"/penalty"))
        await until(lambda: serves.connections.status()["delayed"] == 2)

        assert (await serves.ask()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("limit", ["delayed_max", "delayed_address_max"])
async def test_the_number_of_delayed_responses_is_limited_by_address_and_in_all(limit: str) -> None:
    async with serving(replace(Limits(), **{limit: 2})) as serves:
        for _ in range(2):
            await serves.connect(GET.replace(b"/ok", b"/penalty"))
        await until(lambda: serves.connections.status()["delayed"] == 2)
        third = await serves.connect(GET.replace(b"/ok", b"/penalty"))

        assert (await answer_of(third))[1] == b"false"
        assert serves.connections.status()["delayed"] == 2


async def test_a_penalty_ends_with_its_connection() -> None:
    async with serving(Limits()) as serves:
        await serves.connect(GET.replace(b"/ok", b"/penalty"))
        await until(lambda: serves.connections.status()["delayed"] == 1)
        serves.opened[0].close()

        await until(lambda: serves.connections.status()["delayed"] == 0)


async def test_a_connection_that_has_ended_is_not_delayed_nor_closed_for_another() -> None:
    async def penalize(scope: Scope) -> None:
        await delay(scope, "127.0.0.1", 60.0)

    gate = Gate(penalize)
    async with serving(Limits(connections_max=3), app=gate) as serves:
        for _ in range(3):
            await serves.connect(GET)
        await until(lambda: gate.begun == 3)
        for writer in serves.opened:
            writer.transport.abort()
        await until(lambda: serves.connections.status()["open"] == 0)
        gate.opened.set()
        await until(lambda: gate.ended == 3)
        assert serves.connections.status()["delayed"] == 0

        idle = await serves.connect()
        for _ in range(3):
            await serves.connect()

        # Of those that are open the oldest gives way, though others were delayed before.
        assert await until_closed(idle) == b""
        assert serves.connections.status()["open"] == 3
