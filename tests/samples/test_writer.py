"""The writer stores each sample once, within a second, and counts the ones it drops."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config.model import MetricRetention, Retention
from db.engine import Engine
from db.pool import open_pool
from db.queries import Pool
from model.series import Kind, Sample, Series, columns_of, labels_of
from samples import current
from samples import series as db_series
from samples import writer as db_writer
from samples.write_batch import Stored, WriteBatch, write_batch_of
from samples.writer import Writer

START = datetime(2026, 1, 1, tzinfo=UTC)
CPU = Series(metric="cpu_percent", component="a", resolution=2**-6, unit="percent")
UP = Series(metric="component_up", component="a")


def ignore(_: Sequence[Sample]) -> None:
    """Nobody listens."""


def at(second: int, value: float, series: Series = CPU) -> Sample:
    return Sample(series, START + timedelta(seconds=second), value)


async def stored(pool: Pool) -> list[tuple[str, int, float]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT metric, extract(epoch FROM time - %s)::int, value FROM metrics ORDER BY 1, 2",
            [START],
        )
        return [(r[0], r[1], r[2]) for r in await cursor.fetchall()]


async def test_samples_are_rounded_to_the_resolution_of_their_metric(pool: Pool) -> None:
    async with Writer(pool, ignore) as writer:
        await writer.store(write_batch_of([at(0, 12.3456)]))

    assert await stored(pool) == [("cpu_percent", 0, 12.34375)]


async def test_the_first_value_of_a_time_stays_and_the_second_counts_as_duplicate(
    pool: Pool,
) -> None:
    async with Writer(pool, ignore) as writer:
        assert await writer.store(write_batch_of([at(0, 1), at(1, 2)])) == Stored(2, 0, series=1)
        assert await writer.store(write_batch_of([at(1, 9), at(2, 3), at(2, 4)])) == Stored(1, 2)

    assert [value for _, _, value in await stored(pool)] == [1, 2, 3]


async def test_the_state_of_a_series_is_its_newest_sample_in_any_order(pool: Pool) -> None:
    async with Writer(pool, ignore) as writer:
        for second in (5, 9, 7):
            await writer.store(write_batch_of([at(second, float(second))]))
    async with pool.connection() as connection:
        [newest] = await current.values(connection, list(await current.numbers(connection)))
        [described] = await db_series.catalogue(connection, None, None, 0, 10)

    assert (newest.value, newest.time) == (9, START + timedelta(seconds=9))
    assert described.first_time == START + timedelta(seconds=5)


async def test_the_reason_of_a_failure_is_kept_with_the_newest_sample(pool: Pool) -> None:
    async def reason() -> str:
        async with pool.connection() as connection:
            row = await (await connection.execute("SELECT reason FROM series_state")).fetchone()
            assert row is not None
            return str(row[0])

    async with Writer(pool, ignore) as writer:
        await writer.store(write_batch_of([Sample(UP, START, 0, "refused")]))
        assert await reason() == "refused"
        await writer.store(write_batch_of([Sample(UP, START + timedelta(seconds=15), 1)]))
        assert await reason() == ""


async def test_samples_are_stored_and_announced_after_the_commit(pool: Pool) -> None:
    reported: asyncio.Queue[Sequence[Sample]] = asyncio.Queue()
    async with Writer(pool, reported.put_nowait) as writer, asyncio.TaskGroup() as group:
        task = group.create_task(writer.run())
        writer.put([at(0, 1)])
        writer.put([at(1, 2)])

        assert await asyncio.wait_for(reported.get(), 1.0) == [at(1, 2)]
        assert len(await stored(pool)) == 2
        task.cancel()


async def test_the_rest_of_the_buffer_is_stored_at_the_end(pool: Pool) -> None:
    async with Writer(pool, ignore) as writer:
        writer.put([at(i, i) for i in range(25_000)])

    assert len(await stored(pool)) == 25_000
    assert (writer.pending, writer.dropped) == (0, 0)


async def test_a_full_buffer_drops_the_oldest_and_counts(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samples.buffer.BUFFER_SAMPLES_MAX", 10)
    async with Writer(pool, ignore) as writer:
        writer.put([at(i, i) for i in range(8)])
        writer.put([at(i, i) for i in range(8, 13)])

        assert (writer.pending, writer.dropped) == (10, 3)
    assert [second for _, second, _ in await stored(pool)] == list(range(3, 13))


async def test_collected_samples_of_series_beyond_the_limit_are_dropped_and_counted(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_series, "SERIES_MAX", 1)
    monkeypatch.setattr(db_writer, "OWN_SERIES", 0)
    async with Writer(pool, ignore) as writer:
        await writer.store(write_batch_of([at(0, 1)]))
        writer.put([at(1, 2, Series(metric=f"m{i}", component="b")) for i in range(3)])
        await writer._flush()
        writer.put([at(1, 2)])

    assert writer.dropped == 3
    assert len(await stored(pool)) == 2


async def test_while_the_database_is_away_samples_wait_in_order(engine: Engine, pool: Pool) -> None:
    async with open_pool(engine.dsn, embedded=engine.embedded) as closed:
        pass
    writer = Writer(closed, ignore)
    writer.put([at(0, 1), at(1, 2)])
    assert await writer._flush() is False
    writer.put([at(2, 3)])
    assert writer.pending == 3

    writer._pool = pool
    assert await writer._flush() is True
    assert [value for _, _, value in await stored(pool)] == [1, 2, 3]


async def test_samples_of_series_beyond_the_limit_are_refused_and_the_others_stored(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_series, "SERIES_MAX", 2)
    series = [Series(metric=f"m{i}", component="a") for i in range(3)]
    async with Writer(pool, ignore) as writer:
        first = await writer.store(write_batch_of([at(0, 1, one) for one in series]))
        again = await writer.store(write_batch_of([at(1, 1, one) for one in series]))

    assert (first.accepted, first.duplicate, first.series) == (2, 0, 3)
    assert (again.accepted, again.duplicate, again.series) == (2, 0, 1)
    assert first.refused.series() == again.refused.series() == [series[2]]
    assert [metric for metric, _, _ in await stored(pool)] == ["m0", "m0", "m1", "m1"]


async def test_a_batch_creates_no_more_new_series_than_allowed(pool: Pool) -> None:
    series = [Series(metric=f"m{i}", component="a") for i in range(3)]
    await Writer(pool, ignore).store(write_batch_of([at(0, 1, series[2])]))
    writer = Writer(pool, ignore)
    await writer.learn()
    told_anew = replace(series[2], unit="s")
    stored = await writer.store(
        WriteBatch(columns_of([at(1, 1, s) for s in (*series[:2], told_anew)])), 1
    )
    again = await writer.store(WriteBatch(columns_of([at(2, 1, s) for s in series])), 0)

    assert (stored.accepted, stored.refused.samples, stored.series) == (2, 1, 1)
    assert stored.refused.series() == again.refused.series() == [series[1]]
    assert (again.accepted, again.series) == (2, 0)


async def test_a_rolled_back_batch_does_not_leave_numbers_of_series_behind(pool: Pool) -> None:
    broken = [at(0, 1), at(0, 1, Series(metric="nul\0", component="a"))]
    async with Writer(pool, ignore) as writer:
        with pytest.raises(psycopg.DataError):
            await writer.store(write_batch_of(broken))
        assert await writer.store(write_batch_of([at(0, 1)])) == Stored(1, 0, series=1)


SAMPLES = st.lists(
    st.tuples(st.integers(0, 50), st.floats(-1e6, 1e6), st.sampled_from(["", "x", "y"])),
    max_size=40,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(SAMPLES, min_size=1, max_size=4))
async def test_replaying_batches_changes_nothing(
    pool: Pool, batches: list[list[tuple[int, float, str]]]
) -> None:
    """The law of idempotence: any batches, sent again in any number, store the same rows."""

    def samples(batch: list[tuple[int, float, str]]) -> list[Sample]:
        return [
            at(
                t,
                v,
                Series(metric="m", component="c", labels=labels_of({"k": k} if k else {})),
            )
            for t, v, k in batch
        ]

    async with Writer(pool, ignore) as writer:
        async with pool.connection() as connection:
            await connection.execute("TRUNCATE system_metrics")
        first = [await writer.store(write_batch_of(samples(b))) for b in batches if b]
        before = await stored(pool)
        again = [await writer.store(write_batch_of(samples(b))) for b in batches if b]

    keys = {(t, k) for batch in batches for t, _, k in batch}
    assert sum(s.accepted for s in first) == len(keys)
    assert all(s.accepted == 0 for s in again)
    assert await stored(pool) == before


LATENCY = Series(metric="latency_ms", component="a", kind=Kind.DISTRIBUTION)


async def sketched(pool: Pool) -> list[tuple[int, int, int]]:
    """Return the second, the bucket and the count of everything in the sketches."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM time - %s)::int, log_bucket, count "
            "FROM system_distributions ORDER BY 1, 2",
            [START],
        )
        return [(r[0], r[1], r[2]) for r in await cursor.fetchall()]


async def bucket_of(pool: Pool, value: float) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT log_bucket(%s::float8)", [value])).fetchone()
    assert row is not None
    return int(row[0])


async def test_only_samples_of_distributions_are_counted_in_buckets(pool: Pool) -> None:
    async with Writer(pool, ignore) as writer:
        await writer.store(
            write_batch_of([at(0, 5.0), at(0, 5.0, LATENCY), at(1, -5.0, LATENCY), at(2, 0, UP)])
        )

    five = await bucket_of(pool, 5.0)
    assert await sketched(pool) == [(0, five, 1), (1, -five, 1)]


async def test_a_duplicate_is_counted_in_no_bucket(pool: Pool) -> None:
    """Whatever it says: the first value of a time stays, here as among the samples."""
    async with Writer(pool, ignore) as writer:
        assert await writer.store(
            write_batch_of([at(0, 5.0, LATENCY), at(0, 7.0, LATENCY)])
        ) == Stored(1, 1, series=1)
        assert await writer.store(
            write_batch_of([at(0, 9.0, LATENCY), at(1, 1.0, LATENCY)])
        ) == Stored(1, 1)

    [(second, bucket, count), (_, other, _)] = await sketched(pool)
    assert (second, bucket, count) == (0, await bucket_of(pool, 5.0), 1)
    assert other == await bucket_of(pool, 1.0)


async def test_a_distribution_is_counted_as_it_is_stored(pool: Pool) -> None:
    rounded = Series(metric="m", component="a", kind=Kind.DISTRIBUTION, resolution=1.0)
    async with Writer(pool, ignore) as writer:
        await writer.store(write_batch_of([at(0, 1.4, rounded), at(1, 0.2, rounded)]))

    assert await sketched(pool) == [(0, await bucket_of(pool, 1.0), 1), (1, 0, 1)]


async def test_a_batch_that_fails_leaves_no_counts_behind(pool: Pool) -> None:
    broken = [at(0, 1, LATENCY), at(0, 1, Series(metric="nul\0", component="a"))]
    async with Writer(pool, ignore) as writer:
        with pytest.raises(psycopg.DataError):
            await writer.store(write_batch_of(broken))

    assert await sketched(pool) == []


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-1e150, 1e150),
            st.floats(-150, 150).map(lambda exponent: 10.0**exponent),
            st.sampled_from([0.0, -0.0, 1e-150, -1e-150, 1e150, 5e-324, 1.0, -1.0, 1.02]),
        ),
        min_size=2,
        max_size=60,
    )
)
async def test_buckets_keep_the_order_of_values_and_stand_for_each_within_one_percent(
    pool: Pool, values: list[float]
) -> None:
    """All but what is closer to zero than 1e-150, which counts as zero."""
    ordered = sorted(values)
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT log_bucket(v), log_bucket_value(log_bucket(v)) "
            "FROM unnest(%s::float8[]) WITH ORDINALITY AS given (v, position) ORDER BY position",
            [ordered],
        )
        found = await cursor.fetchall()

    assert [row[0] for row in found] == sorted(row[0] for row in found)
    for value, (bucket, standing) in zip(ordered, found, strict=True):
        if abs(value) < 1e-150:
            assert (bucket, standing) == (0, 0)
        else:
            assert abs(standing - value) <= 0.01 * abs(value)


async def test_values_are_rounded_as_the_settings_want_of_their_metric(pool: Pool) -> None:
    writer = Writer(pool, lambda _: None)
    writer.resolution = Retention(metrics={"m": MetricRetention(resolution=0.5)}).resolution
    time = datetime(2026, 1, 1, tzinfo=UTC)

    await writer.store(
        write_batch_of(
            [Sample(Series(metric=name, component="c"), time, 1.3) for name in ("m", "n")]
        )
    )

    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT metric, value FROM metrics ORDER BY metric")
        assert await cursor.fetchall() == [("m", 1.5), ("n", 1.3)]


async def test_series_of_senders_leave_room_for_the_service_s_own(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_series, "SERIES_MAX", 2)
    sent = [Series(metric=f"sent{number}", component="a") for number in range(3)]
    own = Series(metric="own", component="server")
    writer = Writer(pool, ignore)

    assert (await writer.store(write_batch_of([at(0, 1, one) for one in sent]))).accepted == 2
    writer.put([at(0, 1, own)])
    await writer.drain()

    assert writer.dropped == 0
    assert "own" in {metric for metric, _, _ in await stored(pool)}
