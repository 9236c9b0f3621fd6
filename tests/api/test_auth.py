"""Keys are looked up apart from other work, and believed only while the database is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from api.auth import LOOKUPS_AT_ONCE, LOOKUPS_WAITING_MAX, Authenticator
from db import keys
from db.engine import Engine
from db.pool import DatabasePool, open_pool
from tests.proxy import Proxy, proxy_of
from vigia.model import Role, UnavailableError, utc_now
from vigia.settings import Settings

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


async def new_key(pool: DatabasePool, role: Role = Role.INGEST) -> str:
    async with pool.connection() as connection:
        _, secret = await keys.create(connection, role.value, role, utc_now(), "test")
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


async def test_keys_that_are_looked_up_leave_connections_to_other_work(
    pool: DatabasePool, proxy: Proxy, remote: DatabasePool
) -> None:
    key, auth = await new_key(pool), Authenticator(remote, Settings())
    async with AsyncExitStack() as all_connections:
        for _ in range(CONNECTIONS_MAX):
            await all_connections.enter_async_context(remote.connection())
    proxy.freeze()
    lookups = [
        asyncio.create_task(auth.principal_of_token(key)) for _ in range(LOOKUPS_WAITING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too many keys"):
        await auth.principal_of_token(key)

    async with asyncio.timeout(1), remote.connection():
        assert auth.lookups_refused == 1
    for lookup in lookups:
        lookup.cancel()
    await asyncio.gather(*lookups, return_exceptions=True)
