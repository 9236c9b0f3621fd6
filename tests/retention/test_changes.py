"""Changing what is kept, on a database full of data: nothing else goes, and nothing comes back."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from config.model import MetricRetention, Retention
from db.queries import Connection, Pool
from model.series import Sample, Series
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.retention.simulation import SERIES, Simulation

DAY_S = 86400
DAY = timedelta(days=1)


@pytest.fixture
async def simulation(pool: Pool) -> AsyncIterator[Simulation]:
    async with pool.connection() as connection:
        made = Simulation(connection)
        await made.retain(raw_days=40, rollup_days=40)
        await made.fill(days=20)
        await made.maintain()
        await made.retain(raw_days=14, rollup_days=30)
        await made.maintain()
        await made.maintain()
        yield made


async def oldest(connection: Connection, table: str, metric: str) -> int | None:
    """Return the age of a metric's oldest row, in days."""
    time = "time" if table in {"system_metrics", "system_distributions"} else "bucket"
    cursor = await connection.execute(
        f"SELECT date '2026-01-01' - min({time})::date "
        f"FROM {table} JOIN series ON series_id = series.id WHERE metric = %s",
        [metric],
    )
    [(days,)] = await cursor.fetchall()
    assert days is None or isinstance(days, int)
    return days


async def test_a_shorter_age_acts_on_the_second_run_and_loses_no_roll_up(
    simulation: Simulation,
) -> None:
    await simulation.ingest(age_s=8 * DAY_S, count=40, spacing_s=60)
    await simulation.retain(raw_days=5, rollup_days=30)
    await simulation.ingest(age_s=2 * DAY_S, count=40, spacing_s=60)
    await simulation.maintain()
    await simulation.verify()
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 14

    await simulation.maintain()
    await simulation.verify()
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 5
    assert await oldest(simulation.connection, "system_distributions", "d_ms") == 5
    assert await oldest(simulation.connection, "system_metrics_5m", "m_percent") == 20
    assert await oldest(simulation.connection, "system_metrics_1d", "m_percent") == 20


async def test_a_longer_age_keeps_from_now_on_and_takes_late_samples_where_all_is_kept(
    simulation: Simulation,
) -> None:
    dropped_to = {t.name: t.dropped_to for t in await tiers.read(simulation.connection)}["raw"]
    await simulation.retain(raw_days=60, rollup_days=90)
    assert await tiers.accepted_from(simulation.connection, simulation.now) == dropped_to
    await simulation.ingest(age_s=19 * DAY_S, count=40, spacing_s=60)
    await simulation.ingest(age_s=13 * DAY_S, count=40, spacing_s=60)
    await simulation.maintain()
    await simulation.verify()

    simulation.now += 10 * DAY
    await simulation.maintain()
    await simulation.maintain()
    await simulation.verify()
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 14


async def test_back_and_forth_between_two_runs_drops_nothing(simulation: Simulation) -> None:
    await simulation.retain(raw_days=4, rollup_days=4)
    await simulation.retain(raw_days=14, rollup_days=30)
    await simulation.maintain()
    await simulation.maintain()
    await simulation.verify()
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 14


async def test_a_metric_s_own_age_acts_in_every_tier_and_on_no_other_metric(
    simulation: Simulation,
) -> None:
    await simulation.ages({"m_percent": 3, "d_ms": 16})
    await simulation.maintain()
    await simulation.verify()

    for table in ("system_metrics", "system_metrics_5m", "system_metrics_1h", "system_metrics_1d"):
        assert await oldest(simulation.connection, table, "m_percent") == 3
    assert await oldest(simulation.connection, "system_distributions", "d_ms") == 14
    for table in ("system_distributions_5m", "system_distributions_1d", "system_metrics_1h"):
        assert await oldest(simulation.connection, table, "d_ms") == 16
    for table in ("system_counters_5m", "system_counters_1d", "system_metrics_1d"):
        assert await oldest(simulation.connection, table, "n_total") == 20


async def test_a_metric_s_own_age_goes_on_from_day_to_day(simulation: Simulation) -> None:
    await simulation.ages({"m_percent": 3})
    for _ in range(4):
        simulation.now += DAY + timedelta(minutes=7)
        await simulation.fill(days=1)
        await simulation.maintain()
        await simulation.verify()


async def test_a_sample_older_than_its_metric_s_age_goes_with_the_next_run(
    simulation: Simulation,
) -> None:
    await simulation.ages({"m_percent": 3})
    await simulation.maintain()
    await simulation.ingest(age_s=8 * DAY_S, count=40, spacing_s=60)
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 9
    while await tiers.maintain_step(simulation.connection, now=simulation.now):
        pass
    assert await oldest(simulation.connection, "system_metrics", "m_percent") == 3
    await simulation.maintain()
    await simulation.verify()


async def test_what_a_metric_s_age_leaves_is_compressed_again(simulation: Simulation) -> None:
    await simulation.ages({"m_percent": 9, "n_total": 10})
    await simulation.maintain()
    cursor = await simulation.connection.execute(
        "SELECT name FROM tiers CROSS JOIN LATERAL tier_chunks(name) WHERE is_partial(chunk)"
    )
    assert await cursor.fetchall() == []
    await simulation.verify()


async def test_what_a_metric_s_age_deletes_frees_its_room(pool: Pool) -> None:
    async with pool.connection() as connection:
        simulation = Simulation(connection)
        await simulation.retain(raw_days=14, rollup_days=30)
        series = Series(metric="m_percent", component="a")
        times = [simulation.now - DAY + timedelta(seconds=2 * i) for i in range(40_000)]
        samples = [Sample(series, time, random.random()) for time in times]
        async with connection.transaction():
            await insert(connection, SeriesNumbers(), samples)
        simulation.now += 3 * DAY
        await simulation.maintain()
        before = await bytes_of(connection)
        await simulation.ages({"m_percent": 2})
        await simulation.quiet()
        await simulation.maintain()

        assert await oldest(connection, "system_metrics", "m_percent") is None
        assert await bytes_of(connection) < before / 2


async def bytes_of(connection: Connection) -> int:
    cursor = await connection.execute("SELECT sum(bytes)::bigint FROM tier_storage('raw')")
    [(size,)] = await cursor.fetchall()
    assert isinstance(size, int)
    return size


def test_a_policy_overrides_the_resolution_that_a_series_declares() -> None:
    retention = Retention(metrics={"m_percent": MetricRetention(resolution=0.5)})

    assert retention.resolution("m_percent", SERIES[0].resolution) == 0.5
    assert retention.resolution("n_total", 1.0) == 1.0
    assert Retention(metrics={"x": MetricRetention(keep_days=1)}).resolution("x", None) is None


@pytest.mark.parametrize("resolution", [3, 0.1, 1e-3, 6.0, 0, -1])
def test_a_resolution_is_a_power_of_two(resolution: float) -> None:
    with pytest.raises(ValueError, match="power of two"):
        MetricRetention(resolution=resolution)
