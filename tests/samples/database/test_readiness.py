"""The service is ready while a write succeeds, and probes cost at most one write a second."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from db.engine import Engine
from db.pool import DatabasePool, open_pool
from db.queries import Pool
from samples.database.readiness import FRESH_S, TRY_TIMEOUT_S, Readiness
from tests.proxy import Proxy, proxy_of

SLACK_S = 0.5
"""What a loaded machine may add; with it, a second try would still be told from none."""


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[Proxy]:
    async with proxy_of(engine.dsn) as opened:
        yield opened


@pytest.fixture
async def remote(
    engine: Engine, migrated_pool: DatabasePool, proxy: Proxy
) -> AsyncIterator[DatabasePool]:
    """A pool whose database has the schema, and can be silenced."""
    assert not migrated_pool.closed
    async with open_pool(proxy.dsn, embedded=engine.embedded) as opened:
        yield opened


def tries(pool: DatabasePool) -> int:
    return pool.get_stats().get("requests_num", 0)


async def test_it_is_ready_while_the_database_takes_a_write_and_not_without_it(
    proxy: Proxy, remote: DatabasePool
) -> None:
    assert await Readiness(remote, str).cause() == ""

    await proxy.refuse()
    assert await Readiness(remote, str).cause() != ""


async def test_a_known_cause_is_reported_without_a_write(
    remote: DatabasePool,
) -> None:
    before = tries(remote)
    assert await Readiness(remote, lambda: "the disk is full").cause() == "the disk is full"
    assert tries(remote) == before


async def test_all_callers_within_a_second_share_one_write(remote: DatabasePool) -> None:
    readiness, before = Readiness(remote, str), tries(remote)
    assert await asyncio.gather(*(readiness.cause() for _ in range(20))) == [""] * 20
    assert await readiness.cause() == ""
    assert tries(remote) == before + 1

    await asyncio.sleep(FRESH_S)
    assert await readiness.cause() == ""
    assert tries(remote) == before + 2


async def test_a_hanging_write_is_an_answer_for_a_second_as_well(
    proxy: Proxy, remote: DatabasePool
) -> None:
    readiness = Readiness(remote, str)
    proxy.freeze()
    began = time.monotonic()
    causes = await asyncio.gather(*(readiness.cause() for _ in range(20)))
    assert all(causes)
    assert time.monotonic() - began < TRY_TIMEOUT_S + SLACK_S

    began = time.monotonic()
    assert await readiness.cause() in causes
    assert time.monotonic() - began < SLACK_S


async def test_a_cancelled_caller_does_not_cancel_the_write_for_the_others(
    proxy: Proxy, remote: DatabasePool
) -> None:
    readiness, before = Readiness(remote, str), tries(remote)
    proxy.freeze()
    leaving, staying = (asyncio.create_task(readiness.cause()) for _ in range(2))
    await asyncio.sleep(0.1)
    leaving.cancel()
    await asyncio.wait([leaving])
    await proxy.listen()

    assert await staying == ""
    assert tries(remote) == before + 1


async def test_a_pool_that_is_only_busy_is_said_to_be_busy(engine: Engine, pool: Pool) -> None:
    assert not pool.closed
    pools = open_pool(engine.dsn, embedded=engine.embedded, connections_max=1)
    async with pools as busy, busy.connection():
        cause = await Readiness(busy, str).cause()
    assert cause == "every connection to the database is in use"
