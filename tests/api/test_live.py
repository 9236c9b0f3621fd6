"""The hub without a network: places in the log, versions of the metrics, a database that goes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from api.feed import Client, Credential, Limits, Metrics
from api.live import Live
from api.messages import EVERYTHING, Subscription, Topic
from db import events
from db.engine import Engine
from db.health import ComponentStatus
from db.pool import open_pool
from db.queries import Pool
from vigia.model import Principal, Role, Sample, Series, Status, UnavailableError, utc_now

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CPU = Series(metric="cpu", component="server")
LATENCY = Series(metric="latency", component="database")
WAIT_S = 10.0

Json = dict[str, Any]


class Key:
    """A key whose fate the test decides."""

    def __init__(self, role: Role = Role.VIEWER) -> None:
        self.principal: Principal | None = Principal("ana", role)
        self.asked = 0
        self.away = False

    async def check(self) -> Principal | None:
        self.asked += 1
        if self.away:
            raise UnavailableError("away")
        return self.principal

    def client(self, resume: int | None = None) -> Client:
        return Client(Credential(str(id(self)).encode(), self.check), resume)


@asynccontextmanager
async def running(pool: Pool, limits: Limits | None = None) -> AsyncIterator[Live]:
    live = Live(pool, limits)
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
async def live(pool: Pool) -> AsyncIterator[Live]:
    async with running(pool) as found:
        yield found


@contextmanager
def joined(live: Live, resume: int | None = None) -> Iterator[Client]:
    client = Key().client(resume)
    with live.joined(client):
        yield client


async def take(live: Live, client: Client) -> list[Json]:
    async with asyncio.timeout(WAIT_S):
        return [msgspec.json.decode(text) for text in await live.next(client)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def announce(pool: Pool, count: int, text: str = "") -> None:
    payload = {"id": 1, "component": "server", "message": text}
    async with pool.connection() as connection, connection.transaction():
        await events.append(connection, utc_now(), [("alert_resolved", payload)] * count)


def types(messages: list[Json]) -> list[str]:
    return [message["type"] for message in messages]


def values(metrics: Metrics, version: int, subscription: Subscription = EVERYTHING) -> Json:
    found = metrics.since(version, subscription)
    components = msgspec.json.decode(found[0].text(0))["data"]["components"] if found else {}
    return {
        name: {metric: shown["value"] for metric, shown in component["metrics"].items()}
        for name, component in components.items()
    }


def test_metrics_are_conflated_to_the_newest_since_each_version() -> None:
    metrics = Metrics()
    metrics.put([Sample(CPU, T0, 1.0), Sample(LATENCY, T0, 10.0)])
    metrics.release()
    metrics.put([Sample(CPU, T0 + timedelta(seconds=15), 2.0)])
    metrics.release()
    metrics.put([Sample(CPU, T0 + timedelta(seconds=30), 3.0)])

    assert values(metrics, 1) == {}
    metrics.release()
    assert values(metrics, 0) == {"server": {"cpu": 3.0}, "database": {"latency": 10.0}}
    assert values(metrics, 1) == {"server": {"cpu": 3.0}}
    assert values(metrics, 3) == {}


def test_late_sample_is_no_news() -> None:
    metrics = Metrics()
    metrics.put([Sample(CPU, T0, 1.0)])
    metrics.release()
    metrics.put([Sample(CPU, T0 - timedelta(hours=1), 2.0), Sample(CPU, T0, 3.0)])
    metrics.release()

    assert values(metrics, 0) == {"server": {"cpu": 1.0}}
    assert values(metrics, 1) == {}


def test_metrics_are_encoded_once_for_all_of_one_subscription() -> None:
    metrics = Metrics()
    metrics.put([Sample(CPU, T0, 1.0)])
    metrics.release()
    same = Subscription(components=frozenset({"server"}))
    again = Subscription(components=frozenset({"server"}))

    assert metrics.since(0, same) is metrics.since(0, again)
    assert metrics.since(0, Subscription(components=frozenset({"database"}))) == []
    assert metrics.since(0, Subscription(topics=frozenset({Topic.HEALTH}))) == []


async def test_every_check_of_health_is_sent_whether_or_not_something_changed(live: Live) -> None:
    def checked(second: int) -> ComponentStatus:
        time = T0 + timedelta(seconds=second)
        return ComponentStatus("server", "system", Status.HEALTHY, T0, "", False, time, 100.0)

    with joined(live) as client, joined(live) as other:
        for one in (client, other):
            await take(live, one)
        other.subscribe(Subscription(components=frozenset({"database"})), show=False)
        for second in (30, 60):
            live.publish_health([checked(second)])
            [message] = await take(live, client)
            server = message["data"]["components"]["server"]

            assert (message["type"], message["data"]["status"]) == ("health", "healthy")
            assert server["last_check"] == f"2026-11-23T12:0{second // 60}:{second % 60:02}Z"
        assert live._news(other) == []


async def test_client_the_log_has_outrun_is_told_and_given_the_state(pool: Pool) -> None:
    async with running(pool, Limits(events=8)) as live:
        with joined(live) as slow, joined(live) as other:
            await take(live, slow)
            await take(live, other)
            await announce(pool, 20)
            live.ring()

            found = await take(live, slow)

            assert types(found) == ["lagged", "metrics", "health", "alerts"]
            assert found[0]["data"] == {"after": 0}
            assert [message["seq"] for message in found] == [0, 20, 20, 20]
            await announce(pool, 1)
            live.ring()
            assert [message["seq"] for message in await take(live, slow)] == [21]
            assert live.lagged == 1


async def test_log_is_bounded_in_bytes_too(pool: Pool) -> None:
    async with running(pool, Limits(event_bytes=10_000)) as live:
        with joined(live) as client:
            await take(live, client)
            await announce(pool, 30, "x" * 1000)
            live.ring()

            assert types(await take(live, client))[0] == "lagged"


async def test_slow_client_gets_the_newest_metrics_in_one_message(live: Live) -> None:
    with joined(live) as slow, joined(live) as quick:
        await take(live, slow)
        await take(live, quick)
        for number in range(3):
            live.publish([Sample(CPU, T0 + timedelta(seconds=number), number)])
            assert types(await take(live, quick)) == ["metrics"]

        (found,) = await take(live, slow)

        assert found["data"]["components"]["server"]["metrics"]["cpu"]["value"] == 2.0


async def test_clients_who_come_together_share_few_readings_of_the_state(live: Live) -> None:
    first = await live.state()

    shared = await asyncio.gather(*(live.state() for _ in range(50)))

    assert len({id(state) for state in shared}) <= 2
    assert first not in shared


async def test_state_is_asked_for_once_per_key_and_its_end_ends_every_client(live: Live) -> None:
    key, other = Key(), Key()
    clients, stays = [key.client() for _ in range(100)], other.client()
    with ExitStack() as seats:
        for client in [*clients, stays]:
            seats.enter_context(live.joined(client))
        key.principal = None

        async with asyncio.timeout(WAIT_S):
            farewells = await asyncio.gather(*(client.ended for client in clients))

        assert {farewell.code for farewell in farewells} == {4401}
        assert key.asked <= 2
        assert not stays.ended.done()
        other.principal = Principal("ana", Role.INGEST)
        async with asyncio.timeout(WAIT_S):
            assert (await stays.ended).code == 4403
    assert live.clients == 0


async def test_key_whose_check_hangs_keeps_no_other_from_being_refused(live: Live) -> None:
    class HangingKey(Key):
        async def check(self) -> Principal | None:
            await asyncio.sleep(WAIT_S)
            return self.principal

    refused = Key()
    hanging, client = HangingKey().client(), refused.client()
    with live.joined(hanging), live.joined(client):
        await until(lambda: refused.asked >= 1)
        refused.principal = None
        async with asyncio.timeout(5):
            assert (await client.ended).code == 4401


async def test_absent_database_ends_no_client(live: Live) -> None:
    key = Key()
    client = key.client()
    with live.joined(client):
        key.away = True
        await until(lambda: key.asked >= 2)

        assert not client.ended.done()


@asynccontextmanager
async def away(engine: Engine, pool: Pool) -> AsyncIterator[tuple[Live, Client]]:
    """A hub with one client whose database has gone, and comes back at the end of the block."""
    async with open_pool(engine.dsn, embedded=engine.embedded) as own, running(own) as live:
        with joined(live) as client:
            await take(live, client)
            await own.close()
            live.ring()
            with capture_logs() as logs:
                await until(lambda: any(entry["event"] == "live_retries" for entry in logs))
            yield live, client
            live._pool = pool
            await until(lambda: not live._in_doubt)


async def test_hub_misses_nothing_while_the_database_is_away(engine: Engine, pool: Pool) -> None:
    async with away(engine, pool) as (live, client):
        await announce(pool, 3)
        live._pool = pool

        assert [message["seq"] for message in await take(live, client)] == [1, 2, 3]


async def test_clients_are_told_of_events_that_went_while_the_hub_was_away(
    engine: Engine, pool: Pool
) -> None:
    async with away(engine, pool) as (live, client):
        await announce(pool, 3)
        async with pool.connection() as connection:
            await events.drop_old(connection, utc_now() + timedelta(hours=1))
        await announce(pool, 1)
        live._pool = pool

        found = await take(live, client)

        assert types(found) == ["lagged", "metrics", "health", "alerts"]
        assert found[-1]["seq"] == 4
