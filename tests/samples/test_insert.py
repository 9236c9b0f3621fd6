"""A batch is stored with COPY or by key, with the same result."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.engine import Engine
from db.queries import Pool
from history.export import pages as export
from model.series import Column, Kind, Series
from model.times import utc_now
from samples import insert as db_insert
from samples.rows import insert_rows_of, rounded
from samples.write_batch import Stored, WriteBatch
from samples.writer import Writer

START_US = 1_790_000_000_000_000
GAUGE = Series(metric="load", component="a")
SKETCH = Series(metric="latency_ms", component="a", kind=Kind.DISTRIBUTION)


@pytest.fixture
def writer(engine: Engine, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """One that copies whatever it can, where there is a COPY."""
    monkeypatch.setattr(db_insert, "COPY_ROWS_MIN", 1)
    return Writer(pool, lambda _: None, can_copy=not engine.embedded)


def column(series: Series, seconds: list[int], values: list[float]) -> Column:
    times = np.array(seconds, np.int64) * 1_000_000 + START_US
    return Column(series, times, np.array(values, np.float64))


async def rows(pool: Pool) -> list[tuple[str, int, float]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT metric, (extract(epoch FROM time) - %s)::int, value FROM metrics ORDER BY 1, 2",
            [START_US // 1_000_000],
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]


async def states(pool: Pool) -> list[tuple[str, int, int, float]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT metric, (extract(epoch FROM first_time) - %s)::int, "
            "(extract(epoch FROM last_time) - %s)::int, last_value FROM catalogue ORDER BY 1",
            [START_US // 1_000_000] * 2,
        )
        return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


async def test_a_batch_with_duplicates_stores_the_rest(pool: Pool, writer: Writer) -> None:
    first = column(GAUGE, [0, 2], [1.0, 3.0])
    second = column(GAUGE, [3, 1, 2, 1], [4.0, 2.0, 9.0, 8.0])

    assert await writer.store(WriteBatch([first])) == Stored(2, 0, series=1)
    assert await writer.store(WriteBatch([second])) == Stored(2, 2)

    assert [value for _, _, value in await rows(pool)] == [1, 2, 3, 4]
    assert await states(pool) == [("load", 0, 3, 4.0)]


async def test_distributions_are_bucketed_beside_what_is_copied(pool: Pool, writer: Writer) -> None:
    load = WriteBatch([column(GAUGE, [0, 1], [1, 2]), column(SKETCH, [0, 1], [5, 7])])

    assert (await writer.store(load)).accepted == 4
    assert (await writer.store(load)).accepted == 0

    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT sum(count)::int FROM system_distributions")
        assert await cursor.fetchone() == (2,)


async def test_late_samples_are_noted_for_the_maintenance(pool: Pool, writer: Writer) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE tiers SET refreshed_to = %s::timestamptz WHERE source = 'raw'",
            ["2030-01-01T00:00Z"],
        )
        await writer.store(WriteBatch([column(GAUGE, [0, 60], [1, 2])]))
        cursor = await connection.execute(
            "SELECT extract(epoch FROM end_time - start_time)::int FROM late_ranges"
        )
        assert await cursor.fetchall() == [(60,)]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    )
)
async def test_the_first_value_of_each_time_stays_and_the_newest_is_the_state(
    pool: Pool, writer: Writer, batches: list[list[tuple[int, float]]]
) -> None:
    async with pool.connection() as connection:
        await connection.execute("TRUNCATE system_metrics, series_state")
    truth: dict[int, float] = {}
    for batch in batches:
        for second, value in batch:
            truth.setdefault(second, value if abs(value) >= 1e-200 else 0.0)
        seconds, values = zip(*batch, strict=True)
        await writer.store(WriteBatch([column(GAUGE, list(seconds), list(values))]))

    assert await rows(pool) == [("load", second, truth[second]) for second in sorted(truth)]
    newest = max(truth)
    assert await states(pool) == [("load", min(truth), newest, truth[newest])]


@pytest.mark.parametrize("kind", [Kind.GAUGE, Kind.DISTRIBUTION])
async def test_a_newest_sample_in_the_future_gives_way_and_is_still_exported(
    pool: Pool, writer: Writer, kind: Kind
) -> None:
    now, series = int(utc_now().timestamp()), Series(metric="m", component="a", kind=kind)

    async def put(*seconds: int) -> None:
        times = np.array(seconds, np.int64) * 1_000_000
        await writer.store(WriteBatch([Column(series, times, np.array(seconds, np.float64))]))

    await put(now - 60, now + 3600)
    assert await newest(pool) == (now + 3600, now + 3600, now + 3600)
    for second in (now, now - 30):
        await put(second)
        assert await newest(pool) == (now, now, now + 3600)
    await put(now + 599)
    await put(now + 1)
    assert await newest(pool) == (now + 599, now + 599, now + 3600)


async def test_of_newest_samples_in_the_future_the_newest_stays(pool: Pool, writer: Writer) -> None:
    now = int(utc_now().timestamp())
    for second in (now + 7200, now + 3600):
        times = np.array([second], np.int64) * 1_000_000
        await writer.store(WriteBatch([Column(GAUGE, times, np.array([float(second)]))]))

    assert await newest(pool) == (now + 7200, now + 7200, now + 7200)


async def newest(pool: Pool) -> tuple[int, int, int]:
    """Return the time and value of the only series' newest sample, and where its export ends."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT series_id, extract(epoch FROM last_time)::int, last_value::int "
            "FROM series_state"
        )
        [(number, time, value)] = await cursor.fetchall()
        extent = (await export.extents(connection, [number]))[number]
    return time, value, int(extent.last_time.timestamp())


@given(
    st.lists(st.floats(-1e140, 1e140), min_size=1, max_size=20),
    st.sampled_from([None, 2**-6, 0.5, 1.0, 1024.0]),
)
def test_a_column_is_rounded_as_its_series_rounds(
    values: list[float], resolution: float | None
) -> None:
    series = Series(metric="m", component="c", resolution=resolution)

    assert rounded(np.array(values), resolution).tolist() == [series.round(v) for v in values]


def test_a_batch_is_in_the_order_of_its_key_and_its_bounds_are_those_of_its_series() -> None:
    other = Series(metric="b", component="a")
    columns = [
        column(GAUGE, [5, 1], [1, 2]),
        column(other, [3], [3]),
        column(GAUGE, [1, 0], [9, 4]),
    ]

    batch = insert_rows_of(columns, {GAUGE: 7, other: 2})

    assert batch.series_ids.tolist() == [2, 7, 7, 7]
    assert ((batch.times - START_US) // 1_000_000).tolist() == [3, 0, 1, 5]
    assert batch.values.tolist() == [3, 4, 2, 1]
    starts, ends = batch.bounds()
    assert (starts.tolist(), ends.tolist()) == ([0, 1], [0, 3])
