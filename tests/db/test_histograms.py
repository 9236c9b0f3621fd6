"""Histograms of others feed the same store as single values, each once."""

import numpy as np

from db.load import Load
from db.queries import Pool
from db.writer import Stored, Writer
from vigia.model import Histogram, Kind, Series

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


async def test_a_histogram_is_stored_whole_and_once(pool: Pool) -> None:
    writer = Writer(pool, lambda _: None)
    first, other = histogram(T, b18001=3, b18100=1), histogram(T, b18050=7)

    assert await writer.store(Load((), [first])) == Stored(1, 0, series=1)
    assert await writer.store(Load((), [first])) == Stored(0, 1)
    assert await writer.store(Load((), [other, histogram(T + 1, b0=2)])) == Stored(1, 1)

    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT log_bucket, count FROM system_distributions ORDER BY time, log_bucket"
        )
        assert await cursor.fetchall() == [(18001, 3), (18100, 1), (0, 2)]
        cursor = await connection.execute("SELECT count(*), min(last_value) FROM series_state")
        assert await cursor.fetchone() == (1, 0)
