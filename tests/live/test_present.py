"""The present state contains commits of all replicas, and those of this one at once."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from alerts import store as alerts
from db.engine import Engine
from db.queries import Connection, Pool
from events import bus
from health import status as health
from live.client import Limits, Metrics
from live.documents import Documents
from live.hub import Live
from live.present import SLICE_SERIES, Present
from model.errors import UnavailableError
from model.series import Category, Sample, Series
from model.severity import Level, Status
from model.times import utc_now
from samples import series
from samples.insert import insert
from samples.series import SeriesNumbers
from samples.write_batch import write_batch_of
from samples.writer import Writer

CPU = Series(metric="server_cpu_percent", component="server", unit="percent")
UP = Series(metric="component_up", component="server")
DISK = Series(metric="disk", component="server", labels=(("mount", "/"),))
T0 = utc_now()
WAIT_S = 10.0


def at(second: int, value: float, of: Series = CPU) -> Sample:
    return Sample(of, T0 + timedelta(seconds=second), value)


class Replica:
    """What one replica knows, and how it reads what the others did."""

    def __init__(self, connection: Connection) -> None:
        self.metrics = Metrics()
        self.present = Present(self.metrics)
        self.connection = connection

    async def read(self) -> dict[str, float]:
        await self.present.read(self.connection)
        # A document of its own: one that took long to make would be given out for a while.
        document = await Documents(self.metrics.newest).metrics()
        components = msgspec.json.decode(document.body)["components"]
        return {
            metric: shown.get("value", shown.get("series", [{}])[0].get("value"))
            for component in components.values()
            for metric, shown in component["metrics"].items()
        }


async def write(pool: Pool, *samples: Sample) -> None:
    async with pool.connection() as connection, connection.transaction():
        await insert(connection, SeriesNumbers(), samples)


async def test_commits_of_another_replica_are_in_the_next_reading(pool: Pool) -> None:
    async with pool.connection() as connection:
        replica = Replica(connection)
        assert await replica.read() == {}
        await write(pool, at(0, 1.0), at(0, 50.0, DISK))
        assert await replica.read() == {"server_cpu_percent": 1.0, "disk": 50.0}
        await write(pool, at(15, 2.0))
        assert await replica.read() == {"server_cpu_percent": 2.0, "disk": 50.0}


async def test_a_transaction_that_was_open_during_a_reading_is_not_missed(
    engine: Engine, pool: Pool
) -> None:
    if engine.embedded:
        pytest.skip("its one session has no two transactions at a time")
    await write(pool, at(0, 1.0), at(0, 50.0, DISK))
    async with pool.connection() as connection, pool.connection() as other:
        replica = Replica(connection)
        async with other.transaction():
            await insert(other, SeriesNumbers(), [at(15, 2.0)])
            # A later transaction commits first, and is read.
            await write(pool, at(15, 60.0, DISK))
            assert await replica.read() == {"server_cpu_percent": 1.0, "disk": 60.0}
        assert await replica.read() == {"server_cpu_percent": 2.0, "disk": 60.0}


async def test_a_reading_takes_only_what_changed(pool: Pool) -> None:
    many = [at(0, 1.0, Series(metric=f"m{n}", component="app")) for n in range(SLICE_SERIES + 10)]
    await write(pool, *many)
    async with pool.connection() as connection:
        replica = Replica(connection)
        assert len(await replica.read()) == len(many)
        changes = replica.metrics.newest.changes
        await write(pool, many[0], at(15, 2.0, many[1].series))

        await replica.present.read(connection)

        assert replica.metrics.newest.changes == changes + 1


async def test_another_declaration_and_a_removal_are_noticed(pool: Pool) -> None:
    await write(pool, at(0, 1.0), at(0, 5.0, Series(metric="latency", component="api")))
    async with pool.connection() as connection:
        replica = Replica(connection)
        await replica.read()
        await series.upsert(connection, [msgspec.structs.replace(CPU, unit="%")])
        await health.forget(connection, "api")

        assert await replica.read() == {"server_cpu_percent": 1.0}
        [value] = replica.metrics.newest.of("server").values()
        assert value.unit == "%"


async def test_the_removal_of_many_series_is_noticed_at_once(pool: Pool) -> None:
    many = [at(0, 1.0, Series(metric=f"m{n}", component="api")) for n in range(SLICE_SERIES + 10)]
    await write(pool, at(0, 1.0), *many)
    async with pool.connection() as connection:
        replica = Replica(connection)
        assert len(await replica.read()) == len(many) + 1
        await health.forget(connection, "api")

        assert await replica.read() == {"server_cpu_percent": 1.0}
        assert replica.metrics.newest.count_read() == 1


async def test_a_reading_from_the_database_before_is_not_taken_after_it_was_forgotten(
    pool: Pool,
) -> None:
    await write(pool, at(0, 1.0))
    async with pool.connection() as connection:
        replica = Replica(connection)
        reading = asyncio.create_task(replica.present.read(connection))
        await asyncio.sleep(0)
        replica.present.forget()
        with pytest.raises(UnavailableError, match="another one"):
            await reading

        assert replica.present.state is None
        assert await replica.read() == {"server_cpu_percent": 1.0}


async def test_the_health_of_the_database_before_is_not_taken_after_it_was_forgotten(
    pool: Pool,
) -> None:
    await write(pool, at(0, 1.0, UP))
    async with pool.connection() as connection:
        await health.check(connection, T0, 30.0, {})
        replica = Replica(connection)
        reading = asyncio.create_task(replica.present.read(connection))
        await asyncio.sleep(0)
        replica.present.forget()
        with pytest.raises(UnavailableError, match="another one"):
            await reading

        assert replica.present._statuses is None


async def test_the_alerts_of_the_database_before_are_not_taken_after_it_was_forgotten(
    pool: Pool,
) -> None:
    async with pool.connection() as connection:
        replica = Replica(connection)
        reading = asyncio.create_task(replica.present.read(connection))
        while replica.present._watermark is None:
            await asyncio.sleep(0)
        # It reads the alerts now, which are the last of what it reads.
        replica.present.forget()
        with pytest.raises(UnavailableError, match="another one"):
            await reading
        about = Level.WARNING, Category.SYSTEM, "server", "a title", "a message"
        await alerts.open_test(connection, T0, *about)

        await replica.present.read(connection)
        assert replica.present.state is not None
        assert len(replica.present.state.alerts) == 1


async def test_a_check_of_this_replica_is_not_replaced_by_an_older_reading(pool: Pool) -> None:
    def status(second: int) -> health.ComponentStatus:
        time = T0 + timedelta(seconds=second)
        return health.ComponentStatus("server", "system", Status.HEALTHY, T0, "", False, time, 99.0)

    async with pool.connection() as connection:
        replica = Replica(connection)
        await replica.read()
        replica.present.put_health([status(30)])
        assert replica.present.state is not None
        assert replica.present.state.statuses == [status(30)]


@asynccontextmanager
async def running(
    pool: Pool,
    limits: Limits | None = None,
    on_samples: Callable[[Sequence[Sample]], None] | None = None,
) -> AsyncIterator[Live]:
    live = Live(pool, limits, on_samples=on_samples)
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def body(live: Live) -> Any:
    state = await live.present()
    return msgspec.json.decode((await live.documents.dashboard(state)).body)


async def test_commits_of_this_replica_are_in_the_next_response(pool: Pool) -> None:
    async with running(pool, Limits(fresh_s=60, stale_s=60)) as live:
        writer = Writer(pool, live.publish)
        assert (await body(live))["metrics"]["components"] == {}
        await writer.store(write_batch_of([at(0, 1.0)]))
        found = await body(live)
        assert found["metrics"]["components"]["server"]["metrics"][CPU.metric]["value"] == 1.0

        async with pool.connection() as connection, connection.transaction():
            await alerts.open_test(
                connection, T0, Level.WARNING, Category.SYSTEM, "server", "Title", ""
            )
            await bus.append(connection, T0, [("alerts", {"alerts": []})])
        live.wake()
        found = await body(live)
        assert [alert["title"] for alert in found["alerts"]] == ["Title"]
        assert found["seq"] == 1


async def test_answers_are_made_once_and_are_the_same_bytes_until_something_changes(
    pool: Pool,
) -> None:
    async with running(pool, Limits(fresh_s=60, stale_s=60)) as live:
        writer = Writer(pool, live.publish)
        await writer.store(write_batch_of([at(0, 1.0)]))
        await live.present()
        asked = await asyncio.gather(*(live.documents.metrics() for _ in range(50)))
        assert len({id(document) for document in asked}) == 1
        assert live.documents.made == 1

        await writer.store(write_batch_of([at(0, 1.0)]))
        await live.present()
        assert await live.documents.metrics() is asked[0]

        await writer.store(write_batch_of([at(15, 1.0)]))
        await live.present()
        assert (await live.documents.metrics()).etag != asked[0].etag


async def test_an_answer_is_compressed_once_for_everybody(pool: Pool) -> None:
    many = [at(0, 1.0, Series(metric=f"m{n}", component="app")) for n in range(500)]
    async with running(pool, Limits(fresh_s=60, stale_s=60)) as live:
        await Writer(pool, live.publish).store(write_batch_of(many))
        await live.present()
        document = await live.documents.metrics()
        bodies = await asyncio.gather(*(document.compressed("gzip") for _ in range(20)))

    assert len({id(body) for body in bodies}) == 1
    assert gzip.decompress(bodies[0]) == document.body
    assert len(bodies[0]) < len(document.body) / 5


async def test_subscribers_hear_only_of_samples_that_are_newer_than_what_was_known(
    pool: Pool,
) -> None:
    await write(pool, at(30, 1.0))
    heard: list[Sample] = []
    async with running(pool, on_samples=heard.extend) as live:
        writer = Writer(pool, live.publish)
        await live.present()
        for sample in (at(30, 1.0), at(15, 2.0), at(45, 3.0), at(45, 3.0), at(40, 4.0)):
            await writer.store(write_batch_of([sample]))
            await live.present()

    assert heard == [at(45, 3.0)]


async def test_answers_come_from_memory_while_every_connection_is_in_use(pool: Pool) -> None:
    async with running(pool, Limits(fresh_s=0.01, stale_s=60)) as live:
        await Writer(pool, live.publish).store(write_batch_of([at(0, 1.0)]))
        await body(live)
        held = [await pool.getconn() for _ in range(pool.max_size)]
        try:
            for _ in range(5):
                async with asyncio.timeout(1):
                    found = await body(live)
                assert CPU.metric in found["metrics"]["components"]["server"]["metrics"]
                await asyncio.sleep(0.02)
        finally:
            for connection in held:
                await pool.putconn(connection)
