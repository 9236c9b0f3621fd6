"""A statement ends soon after its deadline, even when the server ignores the cancel request."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from collectors.sql_files.connection import LostError, ReadOnly
from db.engine import Engine
from db.pool import open_pool
from runtime.deadline import CANCEL_TIMEOUT_S, ClosingConnection, DeadlineConnection
from tests.proxy import Proxy, proxy_of

Connect = Callable[[Engine, str], AbstractAsyncContextManager[AsyncConnection[Any]]]

DEADLINE_S = 0.3
SLACK_S = 1.0
"""What a loaded machine may add."""
LONG_S = 4.0
LONG_EMBEDDED_S = 2.0
"""The embedded engine cannot interrupt a statement, and the next test waits for its end."""


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[Proxy]:
    async with proxy_of(engine.dsn) as opened:
        yield opened


@pytest.fixture
def statement(engine: Engine) -> str:
    """A statement that lasts longer than all that a deadline may take."""
    return f"SELECT pg_sleep({LONG_EMBEDDED_S if engine.embedded else LONG_S})"


@asynccontextmanager
async def pooled(engine: Engine, dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with (
        open_pool(dsn, embedded=engine.embedded, connections_max=1) as pool,
        pool.connection() as connection,
    ):
        yield connection


@asynccontextmanager
async def measured(_: Engine, dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    database = ReadOnly(lambda: dsn)
    await database.connect()
    try:
        async with database.transaction(10.0) as connection:
            yield connection
    finally:
        await database.close()


@asynccontextmanager
async def asked(_: Engine, dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await ClosingConnection.connect(dsn, autocommit=True) as connection:
        yield connection


def obey(_: Proxy) -> None:
    """Let the server cancel what it is asked to."""


def accept_only(proxy: Proxy) -> None:
    """Let the server take every request to cancel, and go on."""
    proxy.takes_new = False


def fall_silent(proxy: Proxy) -> None:
    proxy.freeze()


@pytest.mark.parametrize("behave", [obey, accept_only, fall_silent])
@pytest.mark.parametrize("connect", [pooled, measured, asked])
async def test_a_statement_ends_soon_after_its_deadline(
    engine: Engine,
    proxy: Proxy,
    statement: str,
    connect: Connect,
    behave: Callable[[Proxy], None],
) -> None:
    with suppress(psycopg.OperationalError, LostError):
        async with connect(engine, proxy.dsn) as connection:
            began = time.monotonic()
            asyncio.get_running_loop().call_later(DEADLINE_S / 2, behave, proxy)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(DEADLINE_S):
                    await connection.execute(statement)
            took_s = time.monotonic() - began
            is_closed = connection.closed

    assert took_s < DEADLINE_S + CANCEL_TIMEOUT_S + SLACK_S
    assert is_closed == (engine.embedded or behave is not obey or connect is asked)


async def test_a_statement_that_is_cancelled_twice_ends_at_once(
    proxy: Proxy, statement: str
) -> None:
    async with await DeadlineConnection.connect(proxy.dsn, autocommit=True) as connection:
        proxy.takes_new = False
        running = asyncio.create_task(connection.execute(statement))
        await asyncio.sleep(DEADLINE_S)
        running.cancel()
        await asyncio.sleep(DEADLINE_S)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(DEADLINE_S):
                await running
        assert connection.closed
