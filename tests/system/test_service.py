"""The turns of the service's parts while its database is away, and when it is back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from db import alerts, config, health
from db.alerts import Filter
from db.load import Load
from db.pool import open_pool
from vigia.minutes import WAITS_MAX
from vigia.model import Category, Sample, Series, columns_of
from vigia.service import Service, open_service
from vigia.settings import load

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
    there = service.pool
    async with open_pool(service.engine.dsn, embedded=service.engine.embedded) as away:
        pass
    await service.writer.write([Sample(UP, START, 1.0)])
    await service.check_health(START)

    service.pool = away
    for minute in (1, 2):
        with pytest.raises(psycopg.OperationalError):
            await service.evaluate_rules(START + timedelta(minutes=minute))
    for slot in (1, 2, 3):
        with pytest.raises(psycopg.OperationalError):
            await service.check_health(START + slot * SLOT)

    service.pool = there
    down = [Sample(UP, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4, 8)]
    back = [Sample(UP, START + timedelta(seconds=15 * i), 1.0) for i in range(8, 12)]
    await service.writer.write([*down, *back])
    await service.evaluate_rules(START + timedelta(minutes=3))
    await service.check_health(START + 4 * SLOT)

    async with there.connection() as connection:
        [alert] = await alerts.past(connection, Filter(), START, START + timedelta(hours=1), 10)
        states = {row.component: row for row in await health.read(connection)}
    assert (alert.title, alert.opened_at, alert.resolved_at) == (
        "database is down",
        START + timedelta(minutes=2),
        START + timedelta(minutes=3),
    )
    assert states["database"].uptime_24h == pytest.approx(40)
    assert (service.minutes.due, service.missed_slots) == ([], [])


async def outage(service: Service) -> Load:
    """Two minutes in which the database is away; return what was collected meanwhile."""
    await service.writer.write([Sample(UP, START, 1.0)])
    there = service.pool
    async with open_pool(service.engine.dsn, embedded=service.engine.embedded) as away:
        pass
    service.pool = away
    for minute in (1, 2):
        with pytest.raises(psycopg.OperationalError):
            await service.evaluate_rules(START + timedelta(minutes=minute))
    service.pool = there
    return Load(
        columns_of(
            [Sample(UP, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4, 8)]
        )
    )


async def opened(service: Service) -> list[datetime]:
    async with service.pool.connection() as connection:
        return [alert.opened_at for alert in await alerts.active(connection, Filter(), 10)]


async def test_missed_minutes_wait_until_what_is_on_disk_is_stored(service: Service) -> None:
    await service.backlog.put(await outage(service))

    evaluation = asyncio.create_task(service.evaluate_rules(START + timedelta(minutes=3)))
    await asyncio.sleep(0)
    back = asyncio.create_task(service.writer.take_back())
    await evaluation
    back.cancel()

    assert await opened(service) == [START + timedelta(minutes=2)]
    assert service.minutes.due == []


async def test_missed_minutes_do_not_wait_for_ever(service: Service) -> None:
    await service.backlog.put(await outage(service))
    service.settle_s = 0.01

    for minute in range(3, 3 + WAITS_MAX):
        await service.evaluate_rules(START + timedelta(minutes=minute))
    assert len(service.minutes.due) == 2 + WAITS_MAX
    await service.evaluate_rules(START + timedelta(minutes=3 + WAITS_MAX))

    assert (service.minutes.due, await opened(service)) == ([], [])


async def test_a_target_that_is_removed_is_let_go(service: Service) -> None:
    up = Series(metric="component_up", component="binance", category=Category.EXTERNAL)
    down = [Sample(up, START + timedelta(seconds=15 * i), 0.0, "refused") for i in range(4)]
    await service.follow_config(START)
    await service.writer.write(down)
    await service.check_health(START + SLOT)
    await service.evaluate_rules(START + timedelta(minutes=1))
    async with service.pool.connection() as connection:
        assert len(await alerts.active(connection, Filter(), 10)) == 1
        await config.write(connection, "targets", [], START, "ana")
    await service.follow_config(START + timedelta(minutes=1))
    await service.check_health(START + 2 * SLOT)

    async with service.pool.connection() as connection:
        assert await alerts.active(connection, Filter(), 10) == []
        shown = {row.component for row in await health.read(connection)}
    assert "binance" not in shown


async def test_the_status_shows_every_counter_of_what_was_dropped(service: Service) -> None:
    status = service.status()

    assert status["live"] == {"clients": 0, "lagged": 0, "dead": 0}
    assert status["writer"] == {"stored": 0, "pending": 0, "dropped": 0}
    assert status["subscribers"] == {}
