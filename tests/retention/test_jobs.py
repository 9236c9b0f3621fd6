"""Vigia runs the maintenance on an engine without a scheduler, records it, and retries failures."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts import store as alerts
from config.model import Retention
from db.queries import Connection, Pool
from events import bus
from model.series import Category, Sample, Series
from model.severity import Level
from model.times import utc_now
from retention import tiers
from retention.apply import apply
from retention.jobs import WAL_BYTES_MAX, Jobs
from retention.plan import plan
from samples.database.incarnation import try_write
from samples.insert import insert
from samples.series import SeriesNumbers
from vigia.housekeeping import expire

SERIES = Series(metric="m", component="a")


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection; no job stays behind, which on a server would act in the time of other tests."""
    async with pool.connection() as opened:
        await apply(opened, Retention())
        yield opened
        await opened.execute("DROP TABLE IF EXISTS obstacle")
        await opened.execute(
            "SELECT delete_job(job_id) FROM timescaledb_information.jobs "
            "WHERE proc_name = 'maintain'"
        )


def test_the_plan_names_every_tier_once() -> None:
    wanted = plan(Retention(raw_days=10))

    assert {w.name: w.keep for w in wanted}["raw"] == timedelta(days=10)
    assert {w.name for w in wanted} == {
        *("raw", "1m", "5m", "1h", "1d", "checks", "uptime_1h"),
        *("counters_5m", "counters_1h", "counters_1d"),
        *("distributions", "distributions_5m", "distributions_1h", "distributions_1d"),
    }


async def test_only_what_differs_is_applied(connection: Connection) -> None:
    assert await apply(connection, Retention()) == []
    assert await apply(connection, Retention(raw_days=20)) == ["raw", "distributions"]
    assert {t.name: t.keep for t in await tiers.read(connection)}["raw"] == timedelta(days=20)


async def test_there_is_one_job_however_often_it_is_registered(connection: Connection) -> None:
    first = await tiers.register_job(connection)

    assert await tiers.register_job(connection) == first
    assert [job.proc_name for job in await tiers.jobs(connection)].count("maintain") == 1


async def test_a_run_rolls_up_and_is_recorded(pool: Pool, connection: Connection) -> None:
    now = utc_now()
    old = now - timedelta(hours=3)
    await insert(connection, SeriesNumbers(), [Sample(SERIES, old, 1.0)])
    await Jobs(pool).run(now)

    run = await tiers.last_run(connection)
    assert run is not None
    assert (run.step, run.error) == ("done", None)
    assert run.finished_at is not None
    assert run.refreshed >= 3
    cursor = await connection.execute("SELECT count FROM system_metrics_1m")
    assert await cursor.fetchall() == [(1,)]


async def test_a_run_executes_only_the_jobs_that_are_due(
    pool: Pool, connection: Connection
) -> None:
    jobs, now = Jobs(pool), utc_now()
    await jobs.run(now)
    await connection.execute("DELETE FROM maintenance_runs")

    await jobs.run(now + timedelta(seconds=5))
    assert await tiers.last_run(connection) is None
    await jobs.run(now + timedelta(seconds=20))
    assert await tiers.last_run(connection) is not None


async def test_a_late_sample_is_rolled_up_in_the_next_run(
    pool: Pool, connection: Connection
) -> None:
    jobs, now = Jobs(pool), utc_now()
    numbers = SeriesNumbers()
    await insert(connection, numbers, [Sample(SERIES, now - timedelta(hours=3), 1.0)])
    await jobs.run(now)
    await insert(connection, numbers, [Sample(SERIES, now - timedelta(hours=2), 5.0)])
    await jobs.run(now + timedelta(seconds=15))

    cursor = await connection.execute("SELECT sum FROM system_metrics_5m ORDER BY bucket")
    assert await cursor.fetchall() == [(1,), (5,)]
    cursor = await connection.execute("SELECT count(*) FROM late_ranges")
    assert await cursor.fetchone() == (0,)


async def test_roll_ups_stay_as_large_as_their_rows_need_however_often_they_are_rewritten(
    pool: Pool, connection: Connection
) -> None:
    jobs, now, numbers = Jobs(pool), utc_now(), SeriesNumbers()
    series = [Series(metric="m", component=f"c{i}") for i in range(20)]
    sizes = []
    for run in range(14):
        await insert(
            connection,
            numbers,
            [
                Sample(one, now - timedelta(minutes=20 + 2 * i, milliseconds=run), float(run))
                for one in series
                for i in range(200)
            ],
        )
        await jobs.run(now + timedelta(seconds=15 * run))
        cursor = await connection.execute(
            "SELECT sum(pg_total_relation_size(chunk))::bigint FROM tier_chunks('1m')"
        )
        [(size,)] = await cursor.fetchall()
        sizes.append(size)

    cursor = await connection.execute("SELECT count(*), min(count) FROM system_metrics_1m")
    assert await cursor.fetchall() == [(4000, 14)]
    assert sizes[-1] < 1.5 * sizes[2]


async def test_the_log_is_flushed_before_it_becomes_long(
    pool: Pool, connection: Connection
) -> None:
    jobs, now, numbers = Jobs(pool), utc_now(), SeriesNumbers()
    await jobs.run(now)
    for run in range(3):
        await insert(
            connection,
            numbers,
            [
                Sample(SERIES, now - timedelta(milliseconds=100_000 * run + i), 1.0)
                for i in range(100_000)
            ],
        )
        await jobs.run(now + timedelta(seconds=run + 1))
        assert await tiers.wal_bytes(connection) < WAL_BYTES_MAX


async def test_a_failed_run_says_why_and_where_and_the_next_one_succeeds(
    pool: Pool, connection: Connection
) -> None:
    await connection.execute("CREATE TABLE obstacle ()")
    await connection.execute("UPDATE tiers SET relation = 'obstacle' WHERE name = '5m'")
    await insert(connection, SeriesNumbers(), [Sample(SERIES, utc_now() - timedelta(hours=3), 1.0)])
    jobs, now = Jobs(pool), utc_now()
    await jobs.run(now)

    failed = await tiers.last_run(connection)
    assert failed is not None
    assert (failed.step, failed.finished_at) == ("refresh 5m", None)
    assert "obstacle" in (failed.error or "")
    await connection.execute("UPDATE tiers SET relation = 'system_metrics_5m' WHERE name = '5m'")
    await jobs.run(now + timedelta(seconds=15))
    mended = await tiers.last_run(connection)
    assert mended is not None
    assert mended.step == "done"


async def test_old_events_and_sessions_expire(pool: Pool) -> None:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    async with pool.connection() as connection:
        await bus.append(connection, now - timedelta(days=8), [("old", {})])
        await bus.append(connection, now, [("new", {})])
    await expire(pool, now, Retention())

    async with pool.connection() as connection:
        assert [e.type for e in await bus.after(connection, 0, 10)] == ["new"]


async def test_resolved_alerts_expire_with_their_audit_and_open_ones_never(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "DROPPED_TOGETHER", 2)
    now, about = datetime(2026, 6, 1, tzinfo=UTC), (Level.INFO, Category.SYSTEM, "c", "t", "m")
    async with pool.connection() as connection:
        old = [
            await alerts.open_test(connection, now - timedelta(days=9), *about) for _ in range(6)
        ]
        for alert_id in old[:5]:
            assert await alerts.resolve(connection, alert_id, now - timedelta(days=8), "ana")
        fresh = await alerts.open_test(connection, now - timedelta(days=9), *about)
        assert await alerts.resolve(connection, fresh, now - timedelta(days=6), "ana")
        for alert_id in (*old, fresh):
            await alerts.log_transition(connection, alert_id, now, "opened", "ana")

        await expire(pool, now, Retention(alerts_days=7))

        kept = {old[5], fresh}
        assert {alert.id for alert in await alerts.read(connection, [*old, fresh])} == kept
        cursor = await connection.execute("SELECT alert_id FROM system_alert_events")
        assert {row[0] for row in await cursor.fetchall()} == kept


async def test_repeated_reads_do_not_make_the_database_larger(
    pool: Pool, connection: Connection
) -> None:
    """Each look writes a row that is rolled back, and the embedded engine has no autovacuum."""

    async def bytes_after(tries: int) -> int:
        for _ in range(tries):
            await try_write(connection)
        for table in await tiers.updated_tables(connection):
            await tiers.tidy(connection, table)
        size = await connection.execute("SELECT pg_relation_size('replica_tokens')")
        row = await size.fetchone()
        assert row is not None
        return int(row[0])

    assert not pool.closed
    await connection.execute("ALTER TABLE replica_tokens SET (autovacuum_enabled = false)")
    before = await bytes_after(0)
    assert await bytes_after(200) <= before
    await connection.execute("ALTER TABLE replica_tokens RESET (autovacuum_enabled)")
