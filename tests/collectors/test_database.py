"""The database's figures, measured on a real one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from collectors.collector import CollectorRun
from collectors.database import Database
from model.series import Category, Sample

Pool = AsyncConnectionPool[Any]

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
EVERYWHERE = {
    "database_latency_ms",
    "database_pool_size",
    "database_pool_available",
    "database_pool_waiting",
    "database_size_bytes",
    "database_oldest_transaction_seconds",
    "database_jobs_failed",
}


def values_of(samples: list[Sample]) -> dict[str, float]:
    return {sample.series.metric: sample.value for sample in samples if not sample.series.labels}


async def sees_itself(pool: Pool) -> bool:
    """Say whether the server lists its sessions, which the embedded engine does not."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        return (await cursor.fetchone() or (0,))[0] == 1


async def test_every_figure_that_any_engine_has_is_there(pool: Pool) -> None:
    samples = await Database(pool).collect(SLOT)

    values = values_of(samples)
    assert values.keys() >= EVERYWHERE
    assert 0 < values["database_latency_ms"] < 1000
    assert values["database_size_bytes"] > 1_000_000
    assert values["database_jobs_failed"] >= 0
    assert values["database_oldest_transaction_seconds"] >= 0
    assert {sample.time for sample in samples} == {SLOT}
    assert {sample.series.component for sample in samples} == {"database"}
    assert {sample.series.category for sample in samples} == {Category.DATABASE}
    assert len({sample.series for sample in samples}) == len(samples)


async def test_pool_figures_are_the_pools(pool: Pool) -> None:
    stats = pool.get_stats()

    values = values_of(await Database(pool).collect(SLOT))

    assert values["database_pool_size"] == pytest.approx(stats["pool_size"], abs=1)
    assert values["database_pool_available"] == pytest.approx(stats["pool_available"], abs=1)
    assert values["database_pool_waiting"] == 0


async def test_every_state_of_connections_is_there_or_none_is(pool: Pool) -> None:
    samples = await Database(pool).collect(SLOT)

    states = {
        dict(sample.series.labels)["state"]: sample.value
        for sample in samples
        if sample.series.metric == "database_connections"
    }
    if await sees_itself(pool):
        assert set(states) == {"active", "idle", "idle in transaction", "other"}
        assert states["active"] >= 1
    else:
        assert states == {}


async def test_the_oldest_transaction_of_another_is_seen(pool: Pool) -> None:
    if not await sees_itself(pool):
        # One session: while it measures, no other transaction can be open.
        assert values_of(await Database(pool).collect(SLOT))[
            "database_oldest_transaction_seconds"
        ] == pytest.approx(0)
        return
    async with pool.connection() as other, other.transaction():
        await other.execute("SELECT pg_sleep(0.05)")
        values = values_of(await Database(pool).collect(SLOT))

    assert values["database_oldest_transaction_seconds"] >= 0.05


async def test_cache_hits_are_of_the_time_since_the_last_turn(pool: Pool) -> None:
    database = Database(pool)
    first = values_of(await database.collect(SLOT))
    database._blocks = (0.0, 0.0)

    second = values_of(await database.collect(SLOT))

    assert "database_cache_hit_percent" not in first
    if await sees_itself(pool):
        hit = second["database_blocks_hit_total"]
        read = second["database_blocks_read_total"]
        assert second["database_cache_hit_percent"] == pytest.approx(100 * hit / (hit + read))
    else:
        assert "database_cache_hit_percent" not in second


async def test_the_size_is_reused_for_a_minute(pool: Pool) -> None:
    database = Database(pool)
    await database.collect(SLOT)
    until_s, _ = database._kept["database_size"]

    await database.collect(SLOT)

    assert database._kept["database_size"][0] == until_s
    assert database._kept["database_jobs"][0] != until_s


class Proxy:
    """Passes bytes between a client and the database, until it is told to stop."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()
        self.flows.set()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(65536):
                await self.flows.wait()
                writer.write(some)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def freezable(dsn: dict[str, Any]) -> AsyncIterator[tuple[Pool, Proxy]]:
    """A pool whose bytes go through a proxy that can hold them back, as a frozen server does."""
    proxy = Proxy()
    target, ends = (dsn["host"], int(dsn["port"])), set[asyncio.Task[None]]()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = (
            asyncio.open_unix_connection(f"{target[0]}/.s.PGSQL.{target[1]}")
            if str(target[0]).startswith("/")
            else asyncio.open_connection(*target)
        )
        back, forth = await opening
        ends.add(asyncio.ensure_future(proxy.pass_on(reader, forth)))
        ends.add(asyncio.ensure_future(proxy.pass_on(back, writer)))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    kwargs = dsn | {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
    pool: Pool = AsyncConnectionPool(
        "", kwargs={**kwargs, "autocommit": True}, min_size=1, max_size=1, timeout=3, open=False
    )
    try:
        await pool.open(wait=True, timeout=10)
        yield pool, proxy
    finally:
        proxy.flows.set()
        await pool.close()
        server.close()
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def test_a_frozen_database_is_down_within_the_deadline_and_up_again_after(pool: Pool) -> None:
    async with pool.connection() as connection:
        dsn = connection.info.get_parameters() | {"password": connection.info.password}
        dsn |= {"host": connection.info.host, "port": connection.info.port, "sslmode": "disable"}
    put: list[Sample] = []
    async with freezable(dsn) as (frozen, proxy):
        run = CollectorRun(Database(frozen), put.extend)
        await run.run(SLOT)
        started = asyncio.get_running_loop().time()
        proxy.flows.clear()
        await run.run(SLOT, deadline_s=0.5)
        waited_s = asyncio.get_running_loop().time() - started
        proxy.flows.set()
        async with asyncio.timeout(20):
            while put[-1].value == 0:
                await run.run(SLOT, deadline_s=0.5)

    ups = [sample for sample in put if sample.series.metric == "component_up"]
    assert [up.value for up in ups][:2] == [1, 0]
    assert ups[1].reason == "DeadlineError: no answer within 0.5 s"
    assert waited_s < 2
    assert ups[-1].value == 1


async def test_a_pool_without_a_free_connection_is_a_failure_with_a_reason() -> None:
    put: list[Sample] = []
    pool: Pool = AsyncConnectionPool("host=127.0.0.1 port=1", open=False)

    await CollectorRun(Database(pool), put.extend).run(SLOT)

    (failure,) = put
    assert failure.value == 0
    assert "not open yet" in failure.reason
