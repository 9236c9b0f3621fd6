"""A pool finds its database again at once, and tells a busy database from one that is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack

import psycopg
import pytest

from db.engine import Engine
from db.pool import PROBE_S, AwayError, BrokenSessionError, BusyError, DatabasePool, open_pool
from db.queries import Connection
from tests.proxy import Proxy, proxy_of

FOUND_S = 2.0
"""How soon a database that is back must be found, whatever the length of its outage."""
SLACK_S = 1.0
"""What a loaded machine may add."""
TICKS = range(10)
"""Of the event loop: who waits for a connection has it well within these."""


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


def attempts(pool: DatabasePool) -> int:
    """Return how many connections were tried to be made so far."""
    return pool.get_stats().get("connections_num", 0)


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


@pytest.mark.parametrize("outage_s", [1.2, 1.9, 2.6])
async def test_a_database_that_is_away_is_tried_every_half_second(
    proxy: Proxy, remote: DatabasePool, outage_s: float
) -> None:
    await proxy.refuse()
    await lose(remote)
    before = attempts(remote)
    await asyncio.sleep(outage_s)
    assert attempts(remote) - before >= outage_s // PROBE_S - 1

    await proxy.listen()
    back = time.monotonic()
    async with asyncio.timeout(FOUND_S):
        while remote.is_away:
            await asyncio.sleep(0.01)
    assert time.monotonic() - back < PROBE_S + SLACK_S / 2


async def test_an_attempt_that_gets_no_answer_is_the_only_one(
    proxy: Proxy, remote: DatabasePool
) -> None:
    await proxy.refuse()
    await lose(remote)
    proxy.freeze()
    await proxy.take_new()
    await asyncio.sleep(2 * PROBE_S)
    before = attempts(remote)
    await asyncio.sleep(2 * PROBE_S)
    assert attempts(remote) - before <= 1


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


async def test_a_connection_that_its_database_does_not_let_be_checked_says_why_in_words(
    engine: Engine,
) -> None:
    async def configure(connection: Connection) -> None:
        await connection.execute("SELECT FROM a_table_of_vigia")

    pools = open_pool(engine.dsn, embedded=engine.embedded, configure=configure, open_timeout_s=0.0)
    async with pools as pool:
        async with asyncio.timeout(10):
            while not pool.cause:
                await asyncio.sleep(0.01)
        assert pool.cause.startswith("the database lacks tables of Vigia")


async def test_a_connection_that_is_not_checked_in_time_says_so_in_words(engine: Engine) -> None:
    async def configure(_: Connection) -> None:
        raise TimeoutError

    pools = open_pool(engine.dsn, embedded=engine.embedded, configure=configure, open_timeout_s=0.0)
    async with pools as pool:
        async with asyncio.timeout(10):
            while not pool.cause:
                await asyncio.sleep(0.01)
        with pytest.raises(AwayError, match=r"^the database is away: it does not answer in time$"):
            await ask(pool)


@pytest.mark.parametrize("ticks", TICKS)
async def test_a_wait_that_is_cancelled_as_it_gets_a_connection_ends_and_keeps_none(
    engine: Engine, ticks: int
) -> None:
    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=1) as pool:
        waiting = await waiting_for_a_connection_that_came(pool, ticks, DatabasePool.getconn)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
        else:
            await pool.putconn(waiting.result())
        await ask(pool, SLACK_S)


@pytest.mark.parametrize("ticks", TICKS)
async def test_a_deadline_that_passes_as_a_connection_comes_is_a_timeout(
    engine: Engine, ticks: int
) -> None:
    deadline = asyncio.timeout(None)

    async def wait(pool: DatabasePool) -> Connection:
        async with deadline:
            return await pool.getconn()

    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=1) as pool:
        waiting = await waiting_for_a_connection_that_came(pool, ticks, wait)
        if not waiting.done():
            deadline.reschedule(0.0)
        try:
            await pool.putconn(await waiting)
        except TimeoutError:
            assert deadline.expired()
        else:
            assert not deadline.expired()
        await ask(pool, SLACK_S)


@pytest.mark.parametrize("ticks", range(1, 4))
@pytest.mark.parametrize("ticks_waited", range(4))
async def test_a_connection_whose_return_is_cancelled_is_not_lost(
    engine: Engine, ticks_waited: int, ticks: int
) -> None:
    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=1) as pool:
        held = await pool.getconn()
        waiting = asyncio.create_task(ask(pool, SLACK_S))
        await pass_ticks(ticks_waited)
        returning = asyncio.create_task(pool.putconn(held))
        await pass_ticks(ticks)
        returning.cancel()
        await asyncio.wait([returning])

        await waiting
        await ask(pool, SLACK_S)


async def test_a_connection_whose_rollback_was_given_up_is_closed(engine: Engine) -> None:
    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=1) as pool:
        given_up = await pool.getconn()
        await given_up.execute("BEGIN")
        await pool.putconn(given_up)
        assert given_up.closed
        await ask(pool)


async def waiting_for_a_connection_that_came(
    pool: DatabasePool,
    ticks: int,
    wait: Callable[[DatabasePool], Coroutine[None, None, Connection]],
) -> asyncio.Task[Connection]:
    """Return a task that waited for the one connection, some ticks after it was returned."""
    held = await pool.getconn()
    waiting = asyncio.create_task(wait(pool))
    await pass_ticks(len(TICKS))
    returning = asyncio.create_task(pool.putconn(held))
    await pass_ticks(ticks)
    if returning.done():
        await returning
    return waiting


async def pass_ticks(count: int) -> None:
    """Let the event loop run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("step", range(16))
async def test_a_probe_that_is_cancelled_as_it_finds_the_database_ends(
    engine: Engine, step: int
) -> None:
    """Else the pool would wait for it for ever when it closes."""
    async with open_pool(
        engine.dsn, embedded=engine.embedded, connections_max=1, name="probed"
    ) as own:
        [probe] = [task for task in asyncio.all_tasks() if task.get_name() == "probe probed"]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(own.connection())
            own._abandoned_at = time.monotonic() + 60
            async with asyncio.timeout(5):
                while not own.get_stats().get("requests_waiting"):
                    await asyncio.sleep(0.01)
            returning = asyncio.create_task(stack.pop_all().aclose())
        for _ in range(step):
            await asyncio.sleep(0)
        probe.cancel()
        await asyncio.wait([probe], timeout=1)
        is_lost = not probe.done()
        probe.cancel()
        await asyncio.wait([returning])
        assert not is_lost


FAIL_INSIDE = "DO $$ BEGIN RAISE EXCEPTION 'no relation' USING ERRCODE = 'XX000'; END $$"
"""What a session answers for ever that was open while an extension was dropped and made anew."""


async def test_after_an_error_inside_the_server_no_session_of_before_is_lent_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.pool.YOUNG_S", 0.0)
    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=3) as pool:
        in_use, *idle = [await pool.getconn() for _ in range(3)]
        for connection in idle:
            await pool.putconn(connection)
        with pytest.raises(BrokenSessionError, match="no relation"):
            async with pool.connection() as failing:
                await failing.execute(FAIL_INSIDE)
        assert failing in idle
        assert all(connection.closed for connection in idle)

        assert not in_use.closed
        await pool.putconn(in_use)
        assert in_use.closed
        await ask(pool)


async def test_a_session_that_has_just_begun_is_kept_after_an_error_inside_the_server(
    engine: Engine,
) -> None:
    """The statement is at fault, and the next one may be as well."""
    async with open_pool(engine.dsn, embedded=engine.embedded, connections_max=1) as pool:
        with pytest.raises(psycopg.InternalError, match="no relation"):
            async with pool.connection() as failing:
                await failing.execute(FAIL_INSIDE)
        assert not failing.closed
