"""A batch gets in by COPY or by key; which of them changes nothing but the speed."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import insert as db_insert
from db.batch import batch_of, rounded
from db.engine import Engine
from db.load import Load
from db.queries import Pool
from db.writer import Stored, Writer
from vigia.model import Column, Kind, Series

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


async def test_a_batch_that_meets_what_is_there_stores_the_rest(pool: Pool, writer: Writer) -> None:
    first = column(GAUGE, [0, 2], [1.0, 3.0])
    second = column(GAUGE, [3, 1, 2, 1], [4.0, 2.0, 9.0, 8.0])

    assert await writer.store(Load([first])) == Stored(2, 0, series=1)
    assert await writer.store(Load([second])) == Stored(2, 2)

    assert [value for _, _, value in await rows(pool)] == [1, 2, 3, 4]
    assert await states(pool) == [("load", 0, 3, 4.0)]


async def test_distributions_are_bucketed_beside_what_is_copied(pool: Pool, writer: Writer) -> None:
    load = Load([column(GAUGE, [0, 1], [1, 2]), column(SKETCH, [0, 1], [5, 7])])

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
        await writer.store(Load([column(GAUGE, [0, 60], [1, 2])]))
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
        await writer.store(Load([column(GAUGE, list(seconds), list(values))]))

    assert await rows(pool) == [("load", second, truth[second]) for second in sorted(truth)]
    newest = max(truth)
    assert await states(pool) == [("load", min(truth), newest, truth[newest])]


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

    batch = batch_of(columns, {GAUGE: 7, other: 2})

    assert batch.series_ids.tolist() == [2, 7, 7, 7]
    assert ((batch.times - START_US) // 1_000_000).tolist() == [3, 0, 1, 5]
    assert batch.values.tolist() == [3, 4, 2, 1]
    starts, ends = batch.bounds()
    assert (starts.tolist(), ends.tolist()) == ([0, 1], [0, 3])
