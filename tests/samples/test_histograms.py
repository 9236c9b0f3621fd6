"""Received histograms are stored like single values, each once."""

import numpy as np

from db.queries import Pool
from model.series import Histogram, Kind, Series
from model.times import micros_of, utc_now
from samples.write_batch import Stored, WriteBatch
from samples.writer import Writer

T = 1_790_000_000_000_000
SERIES = Series(metric="request_ms", component="shop", kind=Kind.DISTRIBUTION)


def histogram(time: int, **counts: int) -> Histogram:
    numbers = sorted(int(name.removeprefix("b")) for name in counts)
    return Histogram(
        SERIES,
        time,
        np.array(numbers, np.int32),
        np.array([counts[f"b{number}"] for number in numbers], np.int64),
    )


async def test_a_newest_histogram_in_the_future_gives_way_to_what_comes_now(pool: Pool) -> None:
    writer, now_us = Writer(pool, lambda _: None), micros_of(utc_now())
    await writer.store(WriteBatch((), [histogram(now_us + 3_600_000_000, b18001=3)]))
    await writer.store(WriteBatch((), [histogram(now_us, b0=2)]))

    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT last_time, ahead_time FROM series_state")
        [(last, ahead)] = await cursor.fetchall()
    assert [micros_of(last) - now_us, micros_of(ahead) - now_us] == [0, 3_600_000_000]


async def test_a_histogram_is_stored_whole_and_once(pool: Pool) -> None:
    writer = Writer(pool, lambda _: None)
    first, other = histogram(T, b18001=3, b18100=1), histogram(T, b18050=7)

    assert await writer.store(WriteBatch((), [first])) == Stored(1, 0, series=1)
    assert await writer.store(WriteBatch((), [first])) == Stored(0, 1)
    assert await writer.store(WriteBatch((), [other, histogram(T + 1, b0=2)])) == Stored(1, 1)

    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT log_bucket, count FROM system_distributions ORDER BY time, log_bucket"
        )
        assert await cursor.fetchall() == [(18001, 3), (18100, 1), (0, 2)]
        cursor = await connection.execute("SELECT count(*), min(last_value) FROM series_state")
        assert await cursor.fetchone() == (1, 0)
