"""One key has a share of all connections and live clients, and never takes those of others."""

from typing import Any

import pytest
from msgspec.structs import replace

from api.app import create_app
from api.server.connections import Connections, Limits, limits_of
from db.queries import Pool
from live.client import Limits as LiveLimits
from model.principal import Role
from tests.api.conftest import ADMIN_KEY
from tests.api.server.serving import GET, Serving, answer_of, check_problem, serving, until_closed
from tests.live.stream import BEARER, close_code, message, running, until

ASK = "GET /api/v1/monitoring HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
LIVEZ = GET.replace(b"/ok", b"/livez")


async def hold(serves: Serving, key: str, count: int) -> None:
    """Open connections that show a key and stay open."""
    for _ in range(count):
        head, _ = await answer_of(await serves.connect(ASK.format(key).encode()))
        assert head.startswith(b"HTTP/1.1 200")


async def refused(serves: Serving, key: str) -> bytes:
    answer = await until_closed(await serves.connect(ASK.format(key).encode()))
    check_problem(answer, 503)
    return answer


async def test_a_key_beyond_its_share_is_refused_with_words_and_no_other_is(service: Any) -> None:
    limits = replace(Limits(), connections_max=8, holder_max=3)
    async with serving(limits, app=create_app(service.context)) as serves:
        await hold(serves, service.keys[Role.VIEWER], 3)

        for _ in range(10):
            words = await refused(serves, service.keys[Role.VIEWER])
            assert b"this key has 3 connections, the most allowed for one key" in words
        await hold(serves, service.keys[Role.OPERATOR], 2)
        await hold(serves, ADMIN_KEY, 1)
        assert (await serves.ask(LIVEZ)).startswith(b"HTTP/1.1 200")
        assert serves.connections.ended["share"] == 10


async def test_a_key_has_its_place_back_once_its_connection_has_ended(service: Any) -> None:
    async with serving(Limits(holder_max=1), app=create_app(service.context)) as serves:
        await hold(serves, service.keys[Role.VIEWER], 1)
        await refused(serves, service.keys[Role.VIEWER])
        serves.opened[0].close()
        while serves.connections.status()["identified"]:
            await serves.ask(LIVEZ)

        await hold(serves, service.keys[Role.VIEWER], 1)


@pytest.mark.parametrize(("limit", "trusted"), [("address_holders_max", ()), ("holders_max", None)])
async def test_places_are_kept_for_admins_and_probes(
    service: Any, limit: str, trusted: tuple[str, ...] | None
) -> None:
    limits = replace(Limits(), connections_max=5, **{limit: 3})
    proxies = ("127.0.0.0/8",) if trusted is None else trusted
    async with serving(limits, proxies, create_app(service.context)) as serves:
        await hold(serves, service.keys[Role.VIEWER], 2)
        await hold(serves, service.keys[Role.OPERATOR], 1)

        await refused(serves, service.keys[Role.OPERATOR])
        await hold(serves, ADMIN_KEY, 1)
        assert (await serves.ask(LIVEZ)).startswith(b"HTTP/1.1 200")


def test_the_shares_of_few_files_leave_places_to_others() -> None:
    for files in (256, 1024, 1 << 20):
        limits = limits_of(files)
        assert limits.holder_max + limits.holders_max < limits.connections_max
        assert limits.holder_max < limits.address_holders_max < limits.holders_max


async def test_a_key_has_a_share_of_the_live_clients(pool: Pool) -> None:
    async with running(pool, LiveLimits(clients=4, holder_clients=2, kept=1)) as service:
        key = {"Authorization": f"Bearer {await service.new_key('ana', Role.VIEWER)}"}
        other = {"Authorization": f"Bearer {await service.new_key('ben', Role.VIEWER)}"}
        held = [await service.connect(**key) for _ in range(2)]
        for ws in held:
            assert (await message(ws))["type"] == "hello"

        assert await close_code(await service.connect(**key)) == 1013
        held.append(await service.connect(**other))
        assert (await message(held[-1]))["type"] == "hello"
        assert await close_code(await service.connect(**other)) == 1013
        held.append(await service.connect(**BEARER))
        assert (await message(held[-1]))["type"] == "hello"


async def test_websockets_count_in_the_share_of_a_key_until_they_end(pool: Pool) -> None:
    async with running(pool, connections=Connections(Limits(holder_max=2))) as service:
        key = {"Authorization": f"Bearer {await service.new_key('ana', Role.VIEWER)}"}
        held = [await service.connect(**key) for _ in range(2)]
        for ws in held:
            assert (await message(ws))["type"] == "hello"

        beyond = await service.connect(**key)
        words = "this key has 2 connections, the most allowed for one key"
        assert str((await beyond.receive()).extra).startswith(words)
        held.append(await service.connect(**BEARER))
        assert (await message(held[-1]))["type"] == "hello"

        await held[0].close()
        await until(lambda: service.connections.status()["identified"] == 2)
        assert (await message(await service.connect(**key)))["type"] == "hello"
