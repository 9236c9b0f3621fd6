"""The turns of the service's parts while its database is away, and when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec.structs import replace

from alerts import store as alerts
from alerts.evaluation.catch_up import WAITS_MAX
from alerts.store import Filter
from api.http.limits import AT_ONCE, Concurrency
from config import store as config
from db.pool import BusyError, open_pool
from health import status as health
from health.missed import MissedChecks
from model.series import Category, Sample, Series, columns_of
from model.times import utc_now
from runtime.settings import load
from samples.write_batch import WriteBatch, write_batch_of
from tests.proxy import proxy_of
from tests.system.conftest import NATIVE_URL
from vigia.self_monitoring.status import status_of
from vigia.service import MISSED_FILE, Service, open_service

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOT = timedelta(seconds=30)
UP = Series(metric="component_up", component="database", category=Category.DATABASE)


@pytest.fixture
async def service(environment: dict[str, str]) -> AsyncIterator[Service]:
    async with open_service(load(environment)) as opened:
        yield opened


async def test_an_outage_of_the_database_is_an_alert_and_downtime_once_it_is_back(
    service: Service,
) -> None:
    async with open_pool(service.engine.dsn, embedded=service.engine.embedded) as away:
        pass
    await service.writer.store(write_batch_of([Sample(UP, START, 1.0)]))
    await service.monitor.run(START)

    service.evaluations.pool = service.monitor.pool = away
    for minute in (1, 2):
        with pytest.raises(psycopg.OperationalError):
            await service.evaluations.run(START + timedelta(minutes=minute))
    for slot in (1, 2, 3):
        with pytest.raises(psycopg.OperationalError):
            await service.monitor.run(START + slot * SLOT)

    service.evaluations.pool = service.monitor.pool = service.pool
    down = [Sample(UP, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4, 8)]
    back = [Sample(UP, START + timedelta(seconds=15 * i), 1.0) for i in range(8, 12)]
    await service.writer.store(write_batch_of([*down, *back]))
    await service.evaluations.run(START + timedelta(minutes=3))
    for slot in (4, 5):
        await service.monitor.run(START + slot * SLOT)

    async with service.pool.connection() as connection:
        [alert] = await alerts.past(connection, Filter(), START, START + timedelta(hours=1), 10)
        states = {row.component: row for row in await health.read(connection)}
    assert (alert.title, alert.opened_at, alert.resolved_at) == (
        "database is down",
        START + timedelta(minutes=2),
        START + timedelta(minutes=3),
    )
    assert states["database"].uptime_24h == pytest.approx(50)
    assert (service.evaluations.queue, service.monitor.missed.slots) == ([], [])


async def outage(service: Service) -> WriteBatch:
    """Two minutes in which the database is away; return what was collected meanwhile."""
    await service.writer.store(write_batch_of([Sample(UP, START, 1.0)]))
    async with open_pool(service.engine.dsn, embedded=service.engine.embedded) as away:
        pass
    service.evaluations.pool = away
    for minute in (1, 2):
        with pytest.raises(psycopg.OperationalError):
            await service.evaluations.run(START + timedelta(minutes=minute))
    service.evaluations.pool = service.pool
    return WriteBatch(
        columns_of(
            [Sample(UP, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4, 8)]
        )
    )


async def opened(service: Service) -> list[datetime]:
    async with service.pool.connection() as connection:
        return [alert.opened_at for alert in await alerts.active(connection, Filter(), 10)]


async def test_missed_minutes_wait_until_what_is_on_disk_is_stored(service: Service) -> None:
    await service.spool.put(await outage(service))

    evaluation = asyncio.create_task(service.evaluations.run(START + timedelta(minutes=3)))
    await asyncio.sleep(0)
    back = asyncio.create_task(service.writer.drain_spool())
    await evaluation
    back.cancel()

    assert await opened(service) == [START + timedelta(minutes=2)]
    assert service.evaluations.queue == []


async def test_missed_minutes_do_not_wait_for_ever(service: Service) -> None:
    await service.spool.put(await outage(service))
    service.evaluations.store_wait_s = 0.01

    for minute in range(3, 3 + WAITS_MAX):
        await service.evaluations.run(START + timedelta(minutes=minute))
    assert len(service.evaluations.queue) == 2 + WAITS_MAX
    await service.evaluations.run(START + timedelta(minutes=3 + WAITS_MAX))

    assert (service.evaluations.queue, await opened(service)) == ([], [])


async def test_a_target_that_is_removed_is_watched_no_more(service: Service) -> None:
    up = Series(metric="component_up", component="binance", category=Category.EXTERNAL)
    down = [Sample(up, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4)]
    await service.config.follow(START)
    await service.writer.store(write_batch_of(down))
    await service.monitor.run(START + SLOT)
    await service.evaluations.run(START + timedelta(minutes=1))
    async with service.pool.connection() as connection:
        assert len(await alerts.active(connection, Filter(), 10)) == 1
        await config.write(connection, "targets", [], START, "ana")
    await service.config.follow(START + timedelta(minutes=1))
    await service.monitor.run(START + 2 * SLOT)

    async with service.pool.connection() as connection:
        assert await alerts.active(connection, Filter(), 10) == []
        shown = {row.component for row in await health.read(connection)}
    assert "binance" not in shown


CERTIFICATE = Series(
    metric="external_certificate_days", component="binance", category=Category.EXTERNAL
)
BINANCE = Series(metric="component_up", component="binance", category=Category.EXTERNAL)


async def measure(service: Service, minute: int) -> None:
    """Let a minute pass in which binance is down, and its certificate about to end."""
    times = [START + timedelta(minutes=minute, seconds=15 * i) for i in range(4)]
    samples = [Sample(BINANCE, at, 0.0, "refused") for at in times]
    await service.writer.store(
        write_batch_of([*samples, *(Sample(CERTIFICATE, at, 3.0) for at in times)])
    )


async def remove_targets(service: Service) -> None:
    async with service.pool.connection() as connection:
        await config.write(connection, "targets", [], START, "ana")


async def open_rules(service: Service) -> list[str]:
    async with service.pool.connection() as connection:
        found = await alerts.active(connection, Filter(), 100)
    return sorted(alert.rule for alert in found)


async def test_nothing_opens_again_of_a_target_that_is_removed(service: Service) -> None:
    await service.config.follow(START)
    for minute in range(6):
        await measure(service, minute)
        await service.evaluations.run(START + timedelta(minutes=minute + 1))
    assert await open_rules(service) == ["certificate-expiring", "component-down"]
    await remove_targets(service)
    end = START + timedelta(minutes=6)
    await service.config.follow(end + timedelta(seconds=6))

    last_sample = end + timedelta(seconds=20)
    await service.writer.store(write_batch_of([Sample(BINANCE, last_sample, 0.0, "refused")]))
    for minute in range(1, 9):
        await service.config.follow(end + timedelta(minutes=minute, seconds=-25))
        await service.evaluations.run(end + timedelta(minutes=minute))
        assert await open_rules(service) == [], minute
    async with service.pool.connection() as connection:
        found = await alerts.past(connection, Filter(), START, end, 10)
        reported = [
            [s.type for s in await alerts.transitions(connection, alert.id)] for alert in found
        ]
    assert reported == [["opened", "resolved"]] * 2

    await measure(service, 15)
    await service.evaluations.run(START + timedelta(minutes=16))
    assert await open_rules(service) == ["certificate-expiring", "component-down"]


async def test_a_target_that_is_removed_while_the_service_is_stopped_is_watched_no_more(
    environment: dict[str, str],
) -> None:
    async with open_service(load(environment)) as service:
        await service.config.follow(START)
        for minute in range(2):
            await measure(service, minute)
        await service.evaluations.run(START + timedelta(minutes=2))
        assert await open_rules(service) == ["certificate-expiring", "component-down"]
        await remove_targets(service)

    async with open_service(load(environment)) as service:
        await service.config.follow(START + timedelta(minutes=3))
        assert await open_rules(service) == []
        for minute in range(3, 9):
            await service.evaluations.run(START + timedelta(minutes=minute))
            assert await open_rules(service) == []
        async with service.pool.connection() as connection:
            assert "binance" not in {row.component for row in await health.read(connection)}


async def test_a_slot_in_which_the_database_hangs_is_down_and_others_are_judged_later(
    service: Service,
) -> None:
    """Also through a kill, and with the intervals of then."""
    target = Series(metric="component_up", component="tgt", category=Category.EXTERNAL)
    await service.writer.store(write_batch_of([Sample(UP, START, 1.0), Sample(target, START, 1.0)]))
    await service.monitor.run(START)
    intervals = replace(service.config.value.intervals, health_s=5.0)
    service.config.value = replace(service.config.value, intervals=intervals)
    async with (
        proxy_of(service.engine.dsn) as proxy,
        open_pool(proxy.dsn, embedded=service.engine.embedded) as hanging,
    ):
        proxy.freeze()
        service.monitor.pool = hanging
        with pytest.raises(TimeoutError):
            await service.monitor.run(START + SLOT)

    killed = MissedChecks(service.settings.data_dir / MISSED_FILE)
    assert [(one.at, one.is_away) for one in killed.slots][-1] == (START + SLOT, True)
    service.monitor.pool, service.monitor.missed = service.pool, killed
    service.config.value = replace(
        service.config.value, intervals=replace(intervals, health_s=30.0)
    )
    down = [Sample(target, START + SLOT + timedelta(seconds=15 * i), 0.0) for i in range(2)]
    await service.writer.store(write_batch_of([*down, Sample(target, START + 2 * SLOT, 1.0)]))
    await service.monitor.run(START + 2 * SLOT)

    async with service.pool.connection() as connection:
        then = await health.read_at(connection, START + SLOT)
        cursor = await connection.execute(
            "SELECT component, stands_for_s FROM component_checks WHERE time = %s ORDER BY 1",
            [START + SLOT],
        )
        assert await cursor.fetchall() == [("database", 5.0), ("tgt", 5.0)]
    assert {one.component: one.status for one in then} == {"database": "down", "tgt": "down"}
    assert service.monitor.missed.slots == []
    assert MissedChecks(service.settings.data_dir / MISSED_FILE).slots == []


async def test_slots_that_nobody_noted_are_found_from_the_last_check(service: Service) -> None:
    await service.writer.store(write_batch_of([Sample(UP, START, 1.0)]))
    await service.monitor.run(START)
    seen = [Sample(UP, START + i * SLOT, float(i != 2)) for i in range(1, 5)]
    await service.writer.store(write_batch_of(seen))
    service.monitor.missed = MissedChecks()
    await service.monitor.run(START + 4 * SLOT)

    async with service.pool.connection() as connection:
        cursor = await connection.execute("SELECT status FROM component_checks ORDER BY time")
        found = [status for (status,) in await cursor.fetchall()]
    assert found == ["healthy", "healthy", "down", "healthy", "healthy"]


@pytest.mark.skipif(not NATIVE_URL, reason="one session has no two transactions at a time")
async def test_a_missed_slot_that_is_slow_to_judge_never_costs_a_check(service: Service) -> None:
    await service.writer.store(write_batch_of([Sample(UP, START, 1.0)]))
    slots = [START + timedelta(seconds=2 * number) for number in range(5)]
    interval = replace(service.config.value.intervals, health_s=2.0)
    service.config.value = replace(service.config.value, intervals=interval)
    await service.monitor.run(slots[0])
    for missed in slots[1:3]:
        service.monitor.missed.note(missed, 2.0, is_away=False)
    held = "INSERT INTO component_checks VALUES (%s, 'database', 'healthy', 2, '')"
    async with service.pool.connection() as other, other.transaction(force_rollback=True):
        await other.execute(held, [slots[1]])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await service.monitor.run(slots[3])

    assert [slot.at for slot in service.monitor.missed.slots] == [slots[2], slots[1]]
    await service.monitor.run(slots[4])
    async with service.pool.connection() as connection:
        cursor = await connection.execute("SELECT time, status FROM component_checks ORDER BY time")
        found = await cursor.fetchall()
    assert found == [(slot, "healthy") for slot in slots]
    assert service.monitor.missed.slots == []


async def test_the_lag_of_evaluation_is_told(service: Service) -> None:
    now = utc_now().replace(second=0, microsecond=0)
    await service.evaluations.run(now - timedelta(minutes=10))
    shown = status_of(service)["evaluation"]
    assert isinstance(shown, dict)
    assert 600 <= shown["lag_s"] < 720
    assert abs(shown["clock_offset_s"]) < 60


async def test_of_changes_of_settings_the_last_one_is_in_force(service: Service) -> None:
    """However many are put in force at a time."""
    renewals = []
    async with service.pool.connection() as connection:
        for seconds in range(20, 30):
            value = {"collect_s": seconds, "health_s": 30}
            await config.write(connection, "intervals", value, START, "ana")
            renewals.append(asyncio.create_task(service.config.renew()))
    await asyncio.gather(*renewals)
    assert service.config.value.intervals.collect_s == 29


async def test_own_work_never_waits_for_requests(service: Service) -> None:
    async with AsyncExitStack() as held:
        for _ in range(service.requests.max_size):
            await held.enter_async_context(service.requests.connection())
        more = [asyncio.create_task(held.enter_async_context(service.requests.connection()))]
        await asyncio.sleep(0)
        started = time.monotonic()
        await service.writer.store(write_batch_of([Sample(UP, START, 1.0)]))
        await service.evaluations.run(START)
        await service.monitor.run(START)
        assert time.monotonic() - started < service.requests.timeout
        with pytest.raises(BusyError):
            await more[0]

    assert not service.requests.is_away
    assert status_of(service)["requests_pool"]["requests_errors"] == 1


async def test_all_that_the_limits_let_run_at_once_have_connections(service: Service) -> None:
    past = {Concurrency.HISTORY, Concurrency.EXPORT}
    elsewhere = {
        Concurrency.PRESENT,
        Concurrency.OPEN_EXPORT,
        Concurrency.OPEN_ADMIN_EXPORT,
        Concurrency.CHANNEL_TEST,
    }
    async with AsyncExitStack() as held:
        for limit, many in AT_ONCE.items():
            pool = service.reader if limit in past else service.requests
            for _ in range(0 if limit in elsewhere else many):
                await held.enter_async_context(pool.connection())


async def test_the_status_shows_every_counter_of_what_was_dropped(service: Service) -> None:
    status = status_of(service)

    assert status["live"] == {"clients": 0, "lagged": 0, "dead": 0, "skipped": 0}
    assert status["writer"] == {"stored": 0, "pending": 0, "dropped": 0}
    assert status["subscribers"] == {}
