"""Keys are looked up apart from other work, and accepted without a look-up only in an outage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from accounts import keys, sessions
from api.accounts.authenticator import Authenticator
from api.accounts.lookups import (
    ADDRESS_WAITING_MAX,
    KNOWN_AT_ONCE,
    LOOKUPS_AT_ONCE,
    UNKNOWN_AT_ONCE,
)
from db.engine import Engine
from db.pool import DatabasePool, open_pool
from model.errors import UnavailableError
from model.principal import Principal, Role
from model.times import utc_now
from runtime.settings import Settings
from tests.proxy import Proxy, proxy_of

WAIT_S = 10.0
CONNECTIONS_MAX = LOOKUPS_AT_ONCE + 1


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[Proxy]:
    async with proxy_of(engine.dsn) as opened:
        yield opened


@pytest.fixture
async def remote(engine: Engine, proxy: Proxy) -> AsyncIterator[DatabasePool]:
    settings = {"embedded": engine.embedded, "connections_max": CONNECTIONS_MAX}
    async with open_pool(proxy.dsn, **settings) as opened:
        yield opened


async def new_key(pool: DatabasePool, role: Role = Role.INGEST, name: str = "") -> str:
    async with pool.connection() as connection:
        _, secret = await keys.create(connection, name or role.value, role, utc_now(), "test")
    return secret.reveal()


async def test_a_key_that_is_revoked_while_the_database_is_busy_is_not_believed(
    pool: DatabasePool, remote: DatabasePool
) -> None:
    key, auth = await new_key(pool), Authenticator(remote, Settings())
    assert await auth.principal_of_token(key)
    async with pool.connection() as connection:
        await keys.revoke(connection, "ingest", utc_now(), "test")
    auth._keys._found.clear()

    async with AsyncExitStack() as held:
        for _ in range(CONNECTIONS_MAX):
            await held.enter_async_context(remote.connection())
        with pytest.raises(UnavailableError):
            await auth.principal_of_token(key)
    assert await auth.principal_of_token(key) is None


async def test_a_key_of_a_sender_is_believed_while_the_database_is_away(
    pool: DatabasePool, proxy: Proxy, remote: DatabasePool
) -> None:
    sender, viewer = await new_key(pool), await new_key(pool, Role.VIEWER)
    auth = Authenticator(remote, Settings())
    for key in (sender, viewer):
        assert await auth.principal_of_token(key)
    auth._keys._found.clear()

    await proxy.refuse()
    async with asyncio.timeout(5):
        while not remote.is_away:
            with pytest.raises(UnavailableError):
                await auth.principal_of_token(viewer)
    found = await auth.principal_of_token(sender)
    assert found is not None
    assert found.role == Role.INGEST
    with pytest.raises(UnavailableError, match="is away: Connection refused; try again soon"):
        await auth.principal_of_token(viewer)


async def test_a_key_that_was_revoked_and_not_shown_since_is_not_believed_in_an_outage(
    pool: DatabasePool, proxy: Proxy, remote: DatabasePool
) -> None:
    auth = Authenticator(remote, Settings())
    revoked, valid = await new_key(pool, name="revoked"), await new_key(pool, name="valid")
    for key in (revoked, valid):
        assert await auth.principal_of_token(key)
    async with pool.connection() as connection:
        await keys.revoke(connection, "revoked", utc_now(), "test")
    await auth.confirm_senders()
    auth._keys._found.clear()

    await proxy.refuse()
    async with asyncio.timeout(5):
        while not remote.is_away:
            with pytest.raises(UnavailableError):
                await auth.principal_of_token(revoked)
    with pytest.raises(UnavailableError):
        await auth.principal_of_token(revoked)
    assert await auth.principal_of_token(valid)
    await auth.confirm_senders()
    auth._keys._found.clear()
    assert await auth.principal_of_token(valid)


async def test_keys_of_senders_are_confirmed_while_many_keys_are_looked_up(
    pool: DatabasePool, remote: DatabasePool
) -> None:
    key, auth = await new_key(pool), Authenticator(remote, Settings())
    assert await auth.principal_of_token(key)
    [before] = [one.confirmed_at for one in auth._senders.all().values()]
    async with AsyncExitStack() as held:
        for _ in range(UNKNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect(WAIT_S, ""))
        for _ in range(KNOWN_AT_ONCE):
            await held.enter_async_context(auth.lookups.connect_holder(WAIT_S))

        await auth.confirm_senders()

    [after] = [one.confirmed_at for one in auth._senders.all().values()]
    assert after > before


async def test_a_key_that_the_database_before_knew_is_not_believed_of_the_one_after(
    pool: DatabasePool, proxy: Proxy, remote: DatabasePool
) -> None:
    key, auth = await new_key(pool), Authenticator(remote, Settings())
    asking = asyncio.create_task(auth.principal_of_token(key))
    await asyncio.sleep(0)
    auth.forget()
    assert await asking

    await proxy.refuse()
    async with asyncio.timeout(5):
        while not remote.is_away:
            with pytest.raises(UnavailableError):
                await auth.principal_of_token(key)
    with pytest.raises(UnavailableError):
        await auth.principal_of_token(key)


async def test_a_session_that_the_database_before_knew_is_asked_for_again(
    pool: DatabasePool,
) -> None:
    auth = Authenticator(pool, Settings())
    async with pool.connection() as connection:
        principal = Principal("ana", Role.VIEWER)
        token = (await sessions.open_session(connection, principal, None, utc_now())).reveal()
    cookie = f"{auth.cookie_name}={token}"
    asking = asyncio.create_task(auth.principal_of_cookie(cookie))
    await asyncio.sleep(0)
    auth.forget()
    assert await asking

    async with pool.connection() as connection:
        await sessions.close_session(connection, token)
    assert await auth.principal_of_cookie(cookie) is None


async def test_keys_that_are_looked_up_leave_connections_to_other_work(
    pool: DatabasePool, proxy: Proxy, remote: DatabasePool
) -> None:
    key, auth = await new_key(pool), Authenticator(remote, Settings())
    async with AsyncExitStack() as all_connections:
        for _ in range(CONNECTIONS_MAX):
            await all_connections.enter_async_context(remote.connection())
    proxy.freeze()
    lookups = [
        asyncio.create_task(auth.principal_of_token(key))
        for _ in range(UNKNOWN_AT_ONCE + ADDRESS_WAITING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many keys"):
        await auth.principal_of_token(key)

    async with asyncio.timeout(1), remote.connection():
        assert auth.lookups.refused == 1
    for lookup in lookups:
        lookup.cancel()
    await asyncio.gather(*lookups, return_exceptions=True)
