"""A pool finds its database again at once, and tells a busy database from one that is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from db.engine import Engine
from db.pool import AwayError, BusyError, DatabasePool, open_pool
from db.queries import Connection
from tests.proxy import Proxy, proxy_of

FOUND_S = 2.0
"""How soon a database that is back must be found, whatever the length of its outage."""
SLACK_S = 1.0
"""What a loaded machine may add."""


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[Proxy]:
    async with proxy_of(engine.dsn) as opened:
        yield opened


@pytest.fixture
async def remote(engine: Engine, proxy: Proxy) -> AsyncIterator[DatabasePool]:
    """A pool whose database can be cut off."""
    async with open_pool(proxy.dsn, embedded=engine.embedded) as opened:
        yield opened


async def ask(pool: DatabasePool, timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s), pool.connection() as connection:
        await connection.execute("SELECT 1")


async def lose(pool: DatabasePool) -> None:
    """Use what is left of a pool's connections until it knows that its database is away."""
    async with asyncio.timeout(10):
        while not pool.is_away:
            with pytest.raises((psycopg.OperationalError, TimeoutError)):
                await ask(pool, 1.0)


@pytest.mark.parametrize("outage_s", [4, pytest.param(140, marks=pytest.mark.long)])
async def test_a_database_that_is_back_is_found_at_once_however_long_it_was_away(
    proxy: Proxy, remote: DatabasePool, outage_s: float
) -> None:
    await proxy.refuse()
    await lose(remote)
    await asyncio.sleep(outage_s)

    await proxy.listen()
    back = time.monotonic()
    async with asyncio.timeout(FOUND_S + SLACK_S):
        while remote.is_away:
            await asyncio.sleep(0.05)
    await ask(remote)
    assert time.monotonic() - back < FOUND_S + SLACK_S


async def test_while_the_database_is_away_nobody_waits_and_everybody_hears_why(
    proxy: Proxy, remote: DatabasePool
) -> None:
    await proxy.refuse()
    await lose(remote)

    asked = time.monotonic()
    with pytest.raises(AwayError, match=r"^the database is away: Connection refused$"):
        await ask(remote)
    assert time.monotonic() - asked < SLACK_S
    assert remote.cause == "Connection refused"


async def test_a_database_that_went_silent_is_given_up_soon_after_the_deadline(
    proxy: Proxy, remote: DatabasePool
) -> None:
    await ask(remote)
    proxy.freeze()
    asked = time.monotonic()
    with pytest.raises(TimeoutError):
        await ask(remote, 0.5)
    assert time.monotonic() - asked < 0.5 + 1.0 + SLACK_S

    await lose(remote)
    await proxy.refuse()
    await proxy.listen()
    async with asyncio.timeout(FOUND_S + SLACK_S):
        while remote.is_away:
            await asyncio.sleep(0.05)


async def test_a_pool_whose_connections_are_all_in_use_is_busy_and_not_away(
    engine: Engine,
) -> None:
    pools = open_pool(engine.dsn, embedded=engine.embedded, connections_max=2)
    async with pools as pool, AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(pool.connection())
        with pytest.raises(BusyError, match="in use"):
            await ask(pool)
        assert not pool.is_away


async def test_a_new_connection_that_is_refused_by_its_first_question_is_a_failed_one(
    engine: Engine,
) -> None:
    wanted = True

    async def configure(connection: Connection) -> None:
        await connection.execute("SELECT 1")
        if not wanted:
            raise psycopg.OperationalError("the database is another one")

    pools = open_pool(engine.dsn, embedded=engine.embedded, configure=configure)
    async with pools as pool:
        await ask(pool)
        wanted = False
        for _ in range(2):
            async with pool.connection() as connection:
                await connection.close()
            await asyncio.sleep(0.2)
        with pytest.raises(AwayError, match="the database is another one"):
            await ask(pool)
        wanted = True
        await asyncio.sleep(1.5)
        await ask(pool)
