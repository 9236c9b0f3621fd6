"""Made-up keys and sessions do not delay the look-up of valid ones."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from accounts import keys, sessions
from api.accounts.authenticator import Authenticator
from api.accounts.lookups import (
    ADDRESS_WAITING_MAX,
    REFUSED_S,
    UNKNOWN_AT_ONCE,
    WAITING_MAX,
    Recent,
)
from api.app import create_app
from api.server.connections import Limits
from db.queries import Pool
from model.errors import UnavailableError
from model.principal import Role
from model.times import utc_now
from runtime.settings import Settings
from tests.api.server.serving import check_problem, serving, until, until_closed

BASE = "/api/v1/monitoring"
WAIT_S = 10.0
ATTACKER, VIEWER = "192.0.2.1", "192.0.2.2"


def cookie() -> str:
    return f"vigia={sessions.new_session().reveal()}"


async def new_key(pool: Pool) -> str:
    async with pool.connection() as connection:
        _, secret = await keys.create(connection, "viewer", Role.VIEWER, utc_now(), "test")
    return secret.reveal()


async def test_an_address_that_shows_many_sessions_delays_another_by_one_of_them(
    pool: Any,
) -> None:
    key, auth, done = await new_key(pool), Authenticator(pool, Settings()), []
    async with AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect(WAIT_S, ATTACKER))
        made_up = [
            asyncio.create_task(auth.principal_of_cookie(cookie(), ATTACKER))
            for _ in range(ADDRESS_WAITING_MAX)
        ]
        await asyncio.sleep(0)
        for task in made_up:
            task.add_done_callback(done.append)
        with pytest.raises(UnavailableError, match="too many keys"):
            await auth.principal_of_cookie(cookie(), ATTACKER)
        valid = asyncio.create_task(auth.principal_of_token(key, VIEWER))
        await asyncio.sleep(0)

    assert await valid is not None
    assert len(done) <= 2
    assert set(await asyncio.gather(*made_up)) == {None}


async def test_addresses_that_take_every_place_keep_no_other_one_out(pool: Any) -> None:
    key, auth = await new_key(pool), Authenticator(pool, Settings())
    many = WAITING_MAX // ADDRESS_WAITING_MAX
    async with AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect(WAIT_S, ATTACKER))
        made_up = [
            asyncio.create_task(auth.principal_of_cookie(cookie(), f"203.0.113.{number}"))
            for number in range(many)
            for _ in range(ADDRESS_WAITING_MAX)
        ]
        await asyncio.sleep(0)
        valid = asyncio.create_task(auth.principal_of_token(key, VIEWER))
        await asyncio.sleep(0)

    assert await valid is not None
    ended = await asyncio.gather(*made_up, return_exceptions=True)
    assert sum(isinstance(one, UnavailableError) for one in ended) == 1


async def test_a_key_that_was_valid_a_while_ago_never_waits_for_those_of_strangers(
    pool: Any,
) -> None:
    key, auth = await new_key(pool), Authenticator(pool, Settings())
    assert await auth.principal_of_token(key, ATTACKER)
    auth._keys.clear()

    async with AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect(WAIT_S, ATTACKER))
        async with asyncio.timeout(WAIT_S / 2):
            assert await auth.principal_of_token(key, ATTACKER)


async def test_a_token_that_was_just_invalid_is_not_looked_up_again(pool: Any) -> None:
    auth, unknown, session = Authenticator(pool, Settings()), keys.new_key().reveal(), cookie()
    assert await auth.principal_of_token(unknown) is None
    assert await auth.principal_of_cookie(session) is None
    assert await auth.principal_of_cookie("vigia=made-up") is None

    async with AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect(WAIT_S, ATTACKER))
        async with asyncio.timeout(1):
            assert await auth.principal_of_token(unknown) is None
            assert await auth.principal_of_cookie(session) is None


@pytest.mark.parametrize("session", ["vigia=made-up", cookie()], ids=["made-up", "well-formed"])
async def test_made_up_sessions_are_audited_and_answered_slowly_as_wrong_keys_are(
    service: Any, session: str
) -> None:
    auth = service.context.auth
    auth.refusals._take()
    for _ in range(20):
        answer = await service.ask(f"{BASE}/health", None, headers={"Cookie": session})
        assert answer.status == 401
    slow = asyncio.create_task(service.ask(f"{BASE}/health", None, headers={"Cookie": session}))
    before = auth.throttle.delayed
    await until(lambda: auth.throttle.delayed == before + 1)

    assert not slow.done()
    assert (await service.get("/health")).status == 200
    [event] = auth.refusals._take()
    assert (event.type, event.count) == ("key_refused", 21)
    assert (await slow).status == 401


async def test_a_look_up_too_many_is_refused_with_a_delay_or_the_end_of_its_connection(
    service: Any,
) -> None:
    limits = Limits(delayed_address_max=1)
    ask = "GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
    async with serving(limits, app=create_app(service.context)) as serves, AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(service.context.auth.lookups.connect(WAIT_S, ""))
        sent = [
            ask.format(f"{BASE}/health", keys.new_key().reveal()).encode()
            for _ in range(ADDRESS_WAITING_MAX + 2)
        ]
        readers = [await serves.connect(one) for one in sent]
        await until(lambda: serves.connections.status()["delayed"] == 1)

        check_problem(await until_closed(readers[-1]), 503)


def test_recent_tokens_expire_and_the_oldest_are_dropped_when_there_are_too_many() -> None:
    recent = Recent(REFUSED_S, 2)
    for token in ("a", "b", "c"):
        recent.add(token, 0.0)

    assert [recent.has(token, 1.0) for token in "abc"] == [False, True, True]
    assert not recent.has("c", REFUSED_S)
