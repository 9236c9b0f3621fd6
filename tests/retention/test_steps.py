"""The maintenance does only the necessary work, in steps that can be continued."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from config.model import Retention
from db.queries import Connection, Pool
from retention import tiers
from tests.retention.simulation import Simulation

HOUR = timedelta(hours=1)


@pytest.fixture
async def simulation(pool: Pool) -> AsyncIterator[Simulation]:
    async with pool.connection() as connection:
        made = Simulation(connection)
        await made.retain(raw_days=20, rollup_days=40)
        yield made


async def partial_chunks(connection: Connection) -> set[str]:
    cursor = await connection.execute(
        "SELECT name FROM tiers CROSS JOIN LATERAL tier_chunks(name) WHERE is_partial(chunk)"
    )
    return {name for (name,) in await cursor.fetchall()}


async def run_due(simulation: Simulation) -> tiers.Run:
    """Look whether the maintenance is due, as its job does."""
    while await tiers.maintain_step(simulation.connection, now=simulation.now):
        pass
    run = await tiers.last_run(simulation.connection)
    assert run is not None
    return run


async def test_a_first_fill_is_taken_in_steps_that_leave_no_gap(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "STEP", timedelta(0))
    await simulation.ingest(age_s=0, count=6 * 60 * 4, spacing_s=15)
    await simulation.apply(Retention(compress_after_days=0.01))
    simulation.now += HOUR / 2
    reached: list[str] = []
    refreshed = []
    while await tiers.maintain_step(simulation.connection, now=simulation.now, force=True):
        run = await tiers.last_run(simulation.connection)
        assert run is not None
        assert (run.finished_at, run.error) == (None, None)
        reached.append(run.step)
        rows = {tier.name: tier for tier in await tiers.read(simulation.connection)}
        refreshed.append(rows["5m"].refreshed_to)
        if len(reached) % 20 == 0:
            await simulation.verify()

    assert len(reached) > 20
    assert reached[0] == "paused in refresh 1m"
    assert reached[-1].startswith("paused in compress")
    done = [time for time in refreshed if time is not None]
    assert done == sorted(done)
    assert len(set(done)) > 3
    cursor = await simulation.connection.execute("SELECT step, finished_at FROM maintenance_runs")
    [(step, finished_at)] = await cursor.fetchall()
    assert step == "done"
    assert finished_at is not None
    await simulation.verify()


async def test_samples_that_arrive_between_two_steps_are_rolled_up(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "STEP", timedelta(0))
    await simulation.fill(days=9)
    for day in range(1, 9):
        assert await tiers.maintain_step(simulation.connection, now=simulation.now, force=True)
        await simulation.ingest(age_s=day * 86400, count=20, spacing_s=1000)
    monkeypatch.undo()
    await simulation.maintain()
    await simulation.verify()


async def test_a_run_ends_however_many_late_samples_come_between_its_steps(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await simulation.fill(days=2)
    await simulation.maintain()
    monkeypatch.setattr(tiers, "STEP", timedelta(0))
    spacing_s, steps = 1000, 1
    await simulation.ingest(age_s=600, count=40, spacing_s=spacing_s)
    while await tiers.maintain_step(simulation.connection, now=simulation.now):
        spacing_s -= 2
        await simulation.ingest(age_s=601, count=40, spacing_s=spacing_s)
        steps += 1
        assert steps < 300
    run = await tiers.last_run(simulation.connection)
    assert run is not None
    assert run.step == "done"
    assert steps > 10

    assert (await run_due(simulation)).step == "done"
    await simulation.verify()


async def test_no_step_of_a_run_repeats_the_work_of_earlier_steps(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "STEP", timedelta(0))
    await simulation.fill(days=1)
    await simulation.ingest(age_s=3600, count=4 * 1500, spacing_s=7)
    await simulation.maintain()
    before = await bytes_of_1m(simulation.connection)
    await simulation.ingest(age_s=3601, count=4 * 150, spacing_s=70)
    steps = 1
    await simulation.connection.execute("UPDATE tiers SET refresh_step = '10 minutes'")
    while await tiers.maintain_step(simulation.connection, now=simulation.now):
        await simulation.ingest(age_s=3602 + steps % 60, count=4 * 150, spacing_s=70)
        await simulation.connection.execute("UPDATE tiers SET refresh_step = '10 minutes'")
        steps += 1
    assert steps > 50
    assert await bytes_of_1m(simulation.connection) < 4 * before


async def bytes_of_1m(connection: Connection) -> int:
    cursor = await connection.execute(
        "SELECT sum(pg_total_relation_size(chunk))::bigint FROM tier_chunks('1m')"
    )
    [(size,)] = await cursor.fetchall()
    assert isinstance(size, int)
    return size


async def test_nothing_is_done_before_the_next_slot_unless_samples_came_late(
    simulation: Simulation,
) -> None:
    await simulation.fill(days=2)
    await simulation.maintain()
    simulation.now += timedelta(minutes=1)
    assert (await run_due(simulation)).started_at == simulation.now - timedelta(minutes=1)
    await simulation.ingest(age_s=86400, count=4, spacing_s=1)
    assert (await run_due(simulation)).started_at == simulation.now
    await simulation.verify()
    simulation.now += timedelta(minutes=5)
    assert (await run_due(simulation)).started_at == simulation.now


async def test_late_samples_are_compressed_when_no_more_of_them_come(
    simulation: Simulation,
) -> None:
    await simulation.fill(days=12)
    simulation.now += 12 * HOUR
    await simulation.maintain()
    await simulation.ingest(age_s=9 * 86400, count=8, spacing_s=1)
    assert (await run_due(simulation)).compressed == 0
    late = {"raw", "5m", "distributions", "counters_5m", "distributions_5m"}
    assert await partial_chunks(simulation.connection) == late

    simulation.now += timedelta(seconds=15)
    await simulation.ingest(age_s=9 * 86400, count=8, spacing_s=3)
    assert (await run_due(simulation)).compressed == 0
    simulation.now += timedelta(minutes=5)
    await simulation.ingest(age_s=9 * 86400, count=8, spacing_s=5)
    assert (await run_due(simulation)).compressed == 0
    assert await partial_chunks(simulation.connection) == late
    assert await loose_bytes(simulation.connection) > 100_000

    simulation.now += timedelta(minutes=5)
    await simulation.ingest(age_s=60, count=8, spacing_s=1)
    await simulation.quiet()
    assert (await run_due(simulation)).compressed == len(late)
    assert await partial_chunks(simulation.connection) == set()
    assert await loose_bytes(simulation.connection) < 100_000
    await simulation.verify()


async def loose_bytes(connection: Connection) -> int:
    """Return the most that a compressed chunk takes beside its batches."""
    cursor = await connection.execute(
        "SELECT max(pg_total_relation_size(chunk)) FROM tiers CROSS JOIN LATERAL tier_chunks(name) "
        "WHERE is_compressed"
    )
    [(size,)] = await cursor.fetchall()
    assert isinstance(size, int)
    return size
