"""The hub without a network: positions in the log, versions of metrics, and database outages."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from db.engine import Engine
from db.pool import open_pool
from db.queries import Pool
from events import bus
from health.status import ComponentStatus
from live.client import Client, Credential, Limits, Metrics
from live.hub import Live
from live.messages import EVERYTHING, Subscription, Topic
from model.errors import UnavailableError
from model.principal import Principal, Role
from model.series import Sample, Series
from model.severity import Status
from model.times import utc_now

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CPU = Series(metric="cpu", component="server")
LATENCY = Series(metric="latency", component="database")
WAIT_S = 10.0


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


async def take(live: Live, client: Client) -> list[dict[str, Any]]:
    async with asyncio.timeout(WAIT_S):
        return [msgspec.json.decode(text) for text in await live.next(client)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def announce(pool: Pool, count: int, text: str = "") -> None:
    payload = {"id": 1, "component": "server", "message": text}
    async with pool.connection() as connection, connection.transaction():
        await bus.append(connection, utc_now(), [("alert_resolved", payload)] * count)


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def values(
    metrics: Metrics, version: int, subscription: Subscription = EVERYTHING
) -> dict[str, Any]:
    found = list(metrics.since(version, subscription))
    components = msgspec.json.decode(found[0].text(0))["data"]["components"] if found else {}
    return {
        name: {metric: shown["value"] for metric, shown in component["metrics"].items()}
        for name, component in components.items()
    }


def test_metrics_are_conflated_to_the_newest_since_each_version() -> None:
    metrics = Metrics()
    metrics.newest.put([Sample(CPU, T0, 1.0), Sample(LATENCY, T0, 10.0)])
    metrics.release()
    metrics.newest.put([Sample(CPU, T0 + timedelta(seconds=15), 2.0)])
    metrics.release()
    metrics.newest.put([Sample(CPU, T0 + timedelta(seconds=30), 3.0)])

    assert values(metrics, 1) == {}
    metrics.release()
    assert values(metrics, 0) == {"server": {"cpu": 3.0}, "database": {"latency": 10.0}}
    assert values(metrics, 1) == {"server": {"cpu": 3.0}}
    assert values(metrics, 3) == {}


def test_late_sample_is_no_news() -> None:
    metrics = Metrics()
    metrics.newest.put([Sample(CPU, T0, 1.0)])
    metrics.release()
    metrics.newest.put([Sample(CPU, T0 - timedelta(hours=1), 2.0), Sample(CPU, T0, 3.0)])
    metrics.release()

    assert values(metrics, 0) == {"server": {"cpu": 1.0}}
    assert values(metrics, 1) == {}


def test_metrics_are_encoded_once_for_all_of_one_subscription() -> None:
    metrics = Metrics()
    metrics.newest.put([Sample(CPU, T0, 1.0)])
    metrics.release()
    same = Subscription(components=frozenset({"server"}))
    again = Subscription(components=frozenset({"server"}))

    of_series = Subscription(series=frozenset({("server", "cpu", ())}))

    assert metrics.since(0, same) is metrics.since(0, again)
    assert values(metrics, 0, of_series) == {"server": {"cpu": 1.0}}
    assert values(metrics, 1, of_series) == {}
    assert not list(metrics.since(0, Subscription(components=frozenset({"database"}))))
    assert not list(metrics.since(0, Subscription(topics=frozenset({Topic.HEALTH}))))


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
        assert await live._changes(other) == []


async def test_client_the_log_has_outrun_is_told_and_given_the_state(pool: Pool) -> None:
    async with running(pool, Limits(events=8)) as live:
        with joined(live) as slow, joined(live) as other:
            await take(live, slow)
            await take(live, other)
            await announce(pool, 20)
            live.wake()

            found = await take(live, slow)

            assert types(found) == ["lagged", "metrics", "health", "alerts"]
            assert found[0]["data"] == {"after": 0}
            assert [message["seq"] for message in found] == [0, 20, 20, 20]
            await announce(pool, 1)
            live.wake()
            assert [message["seq"] for message in await take(live, slow)] == [21]
            assert live.lagged == 1


async def test_log_is_bounded_in_bytes_too(pool: Pool) -> None:
    async with running(pool, Limits(event_bytes=10_000)) as live:
        with joined(live) as client:
            await take(live, client)
            await announce(pool, 30, "x" * 1000)
            live.wake()

            assert types(await take(live, client))[0] == "lagged"


async def largest_step(tasks: list[asyncio.Task[Any]]) -> int:
    """Return how many tasks ended in one turn of the event loop at most."""
    largest, before = 0, 0
    async with asyncio.timeout(WAIT_S):
        while before < len(tasks):
            await asyncio.sleep(0)
            ended = sum(task.done() for task in tasks)
            largest, before = max(largest, ended - before), ended
    return largest


def queues(count: int, component: str, time: datetime) -> list[Sample]:
    return [
        Sample(Series(metric="queue", component=component, labels=(("q", f"{n}"),)), time, n)
        for n in range(count)
    ]


async def test_clients_that_want_different_things_take_turns_to_be_sent_them(live: Live) -> None:
    names = [f"own-{number}" for number in range(40)]
    first = [*queues(600, "big", T0), *(one for name in names for one in queues(20, name, T0))]
    live.publish(first)
    await until(lambda: live._metrics.version > 0)
    with ExitStack() as seats:
        clients = [seats.enter_context(joined(live)) for _ in names]
        for client, name in zip(clients, names, strict=True):
            await take(live, client)
            client.subscribe(Subscription(components=frozenset({"big", name})), show=True)
        states = [asyncio.create_task(take(live, client)) for client in clients]
        shown_at_once = await largest_step(states)

        later = T0 + timedelta(seconds=15)
        live.publish([msgspec.structs.replace(one, time=later) for one in first])
        await until(lambda: live._metrics.version > 1)
        changes = [asyncio.create_task(take(live, client)) for client in clients]
        told_at_once = await largest_step(changes)

    assert types(states[0].result()) == ["metrics"] * 2 + ["health", "alerts"]
    assert types(changes[0].result()) == ["metrics"] * 2
    assert max(shown_at_once, told_at_once) <= 2


async def test_large_components_are_encoded_once_for_all_who_want_something_else_too(
    live: Live,
) -> None:
    live.publish([*queues(1200, "big", T0), *queues(20, "a", T0), *queues(20, "b", T0)])
    await until(lambda: live._metrics.version > 0)
    one, other = (Subscription(components=frozenset({"big", name})) for name in ("a", "b"))
    states = [await live.readings.state(), await live.readings.state()]

    shown = [list(state.messages(wanted)) for state in states for wanted in (one, other)]
    reported = [list(live._metrics.since(0, wanted)) for wanted in (one, other)]

    assert all(found[:2] == shown[0][:2] for found in shown)
    assert reported[0][:2] == reported[1][:2]
    assert reported[0][2] is not reported[1][2]


async def test_subscriptions_within_a_second_are_joined_and_the_last_one_is_shown(
    live: Live,
) -> None:
    names = [f"own-{number}" for number in range(40)]
    live.publish([one for name in names for one in queues(1, name, T0)])
    await until(lambda: live._metrics.version > 0)
    shown: list[list[str]] = []

    async def listen() -> None:
        while True:
            shown.extend(list(found["data"]["components"]) for found in await take(live, client))

    with joined(live) as client:
        await take(live, client)
        listening = asyncio.create_task(listen())
        for name in names:
            only = Subscription(frozenset({Topic.METRICS}), frozenset({name}))
            client.subscribe(only, show=True)
            await asyncio.sleep(0.01)
        await until(lambda: [names[-1]] in shown)
        listening.cancel()

    assert len(shown) < len(names) / 2


async def test_a_message_that_waits_for_a_slow_client_keeps_no_old_values(live: Live) -> None:
    live.publish(queues(1, "shop", T0))
    await until(lambda: live._metrics.version > 0)
    waiting = [
        next(iter((await live.readings.state()).messages(EVERYTHING))),
        next(iter(live._metrics.since(0, EVERYTHING))),
    ]
    for second in (15, 30):
        time = T0 + timedelta(seconds=second)
        live.publish([msgspec.structs.replace(one, time=time) for one in queues(1, "shop", T0)])
        await until(lambda: not live._committed)

    for found in waiting:
        components = msgspec.json.decode(found.text(0))["data"]["components"]
        [value] = components["shop"]["metrics"]["queue"]["series"]
        assert value["time"] == "2026-11-23T12:00:30Z"


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
    first = await live.readings.state()
    shared = await asyncio.gather(*(live.readings.state() for _ in range(50)))

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
            close_reasons = await asyncio.gather(*(client.ended for client in clients))

        assert {close_reason.code for close_reason in close_reasons} == {4401}
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
            live.wake()
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
            await bus.drop_old(connection, utc_now() + timedelta(hours=1))
        await announce(pool, 1)
        live._pool = pool

        found = await take(live, client)

        assert types(found) == ["lagged", "metrics", "health", "alerts"]
        assert found[-1]["seq"] == 4
