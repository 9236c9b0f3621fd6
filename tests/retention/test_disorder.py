"""A day's samples in any order, from several writers at once: every tier is as if in order."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray

from db.engine import Engine
from db.queries import Connection, Pool
from model.series import Kind, Sample, Series
from model.times import time_of
from retention import tiers
from samples.write_batch import write_batch_of
from samples.writer import Writer

START = datetime(2026, 1, 1, tzinfo=UTC)
START_S = int(START.timestamp())
NOW = START + timedelta(hours=25)
DAY_S = 86_400
SECOND = 1_000_000
SAMPLES, SAMPLES_EMBEDDED = 1_000_000, 200_000
BATCH, BATCH_EMBEDDED = 10_000, 2_000
WRITERS = 4
KINDS = [Kind.GAUGE] * 30 + [Kind.COUNTER] * 10 + [Kind.DISTRIBUTION] * 10
SERIES = [
    Series(metric=f"shuffled_{kind}", component=f"c{number}", kind=kind)
    for number, kind in enumerate(KINDS)
]
ZERO_BUCKET = 18_000

Rows = list[tuple[float, ...]]


class Samples(Struct):
    """Samples as columns: the number of the series in SERIES, microseconds, the value."""

    series: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def pick(self, where: NDArray[np.int64] | NDArray[np.bool_]) -> "Samples":
        return Samples(self.series[where], self.times[where], self.values[where])


def made(count: int, chance: np.random.Generator) -> Samples:
    """Samples in order. Values are multiples of 1/8, whose sums are the same in any order."""
    each = count // len(SERIES)
    milliseconds = [np.sort(chance.choice(DAY_S * 1000, each, replace=False)) for _ in SERIES]
    values = [_values(kind, each, chance) for kind in KINDS]
    return Samples(
        np.repeat(np.arange(len(SERIES)), each),
        np.concatenate(milliseconds) * 1000 + START_S * SECOND,
        np.concatenate(values),
    )


def _values(kind: Kind, count: int, chance: np.random.Generator) -> NDArray[np.float64]:
    steps = chance.integers(1, 1000, count)
    if kind is Kind.COUNTER:
        # It begins again now and then.
        steps = steps.cumsum()
        begun = np.maximum.accumulate(np.where(chance.random(count) < 0.01, steps, 0))
        steps = steps - begun
    return steps / 8 - (50 if kind is Kind.GAUGE else 0)


def recomputed(samples: Samples, width_s: int) -> Rows:
    """Count, sum, minimum, maximum, first and last of each series and bucket."""
    starts, ends, keys = _groups(samples, width_s)
    v = samples.values
    columns = [
        ends - starts, np.add.reduceat(v, starts), np.minimum.reduceat(v, starts),
        np.maximum.reduceat(v, starts), v[starts], v[ends - 1],
    ]  # fmt: skip
    return _rows([*keys, *columns])


def recomputed_counters(samples: Samples, width_s: int) -> Rows:
    """First and last time and value, and what was lost by beginning again."""
    counters = samples.pick(np.isin(samples.series, _of_kind(Kind.COUNTER)))
    starts, ends, keys = _groups(counters, width_s)
    v, t = counters.values, counters.times
    before = np.concatenate(([0.0], v[:-1]))
    lost = np.where(v < before, before, 0.0)
    lost[starts] = 0.0
    columns = [t[starts], t[ends - 1], v[starts], v[ends - 1], np.add.reduceat(lost, starts)]
    return _rows([*keys, *columns])


def recomputed_distributions(samples: Samples, width_s: int) -> Rows:
    """How many values there are in each bucket of logarithms."""
    some = samples.pick(np.isin(samples.series, _of_kind(Kind.DISTRIBUTION)))
    logs = np.where(some.values == 0, 0, _log_buckets(np.maximum(some.values, 1 / 8)))
    times = some.times // (width_s * SECOND) if width_s else some.times
    keys, counts = np.unique(np.stack([some.series, times, logs]), axis=1, return_counts=True)
    return _rows([keys[0], keys[1] * (width_s * SECOND or 1), keys[2], counts])


def _log_buckets(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return ZERO_BUCKET + np.ceil(np.log(values) / np.log(1.02)).astype(np.int64)


def _groups(
    samples: Samples, width_s: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Return where each series' bucket begins and ends, and its series and start."""
    buckets = samples.times // (width_s * SECOND)
    changes = (np.diff(samples.series) != 0) | (np.diff(buckets) != 0)
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1))
    ends = np.concatenate((starts[1:], [len(buckets)]))
    return starts, ends, [samples.series[starts], buckets[starts] * width_s * SECOND]


def _of_kind(wanted: Kind) -> list[int]:
    return [number for number, kind in enumerate(KINDS) if kind is wanted]


def _rows(columns: list[NDArray[np.int64] | NDArray[np.float64]]) -> Rows:
    return list(zip(*(column.tolist() for column in columns), strict=True))


async def write(writer: Writer, samples: Samples, batches: Iterator[NDArray[np.int64]]) -> int:
    """Write batches until there are none left, the first one again; return what was new."""
    accepted = 0
    for number, batch in enumerate(batches):
        some = samples.pick(batch)
        columns = zip(some.series.tolist(), some.times.tolist(), some.values.tolist(), strict=True)
        reported = [Sample(SERIES[series], time_of(time), value) for series, time, value in columns]
        for _ in range(2 if number == 0 else 1):
            accepted += (await writer.store(write_batch_of(reported))).accepted
    return accepted


async def write_shuffled(
    writer: Writer, samples: Samples, batch: int, chance: np.random.Generator
) -> int:
    order = chance.permutation(len(samples.times))
    batches = iter(np.array_split(order, len(order) // batch))
    written = await asyncio.gather(*(write(writer, samples, batches) for _ in range(WRITERS)))
    return sum(written)


async def maintain(pool: Pool, is_over: asyncio.Event) -> None:
    """Roll up again and again what is there, so that most of what comes then is late."""
    while not is_over.is_set():
        async with pool.connection() as connection:
            await tiers.maintain(connection, NOW)
        await asyncio.sleep(1)


COLUMNS = {
    "metrics": "count, sum, min, max, first, last",
    "counters": "(extract(epoch FROM first_time) * 1000000)::bigint, "
    "(extract(epoch FROM last_time) * 1000000)::bigint, first, last, resets",
    "distributions": "log_bucket, count",
}


async def rows(connection: Connection, table: str, columns: str, time: str = "bucket") -> Rows:
    """Return a table's rows, whose series is its number in SERIES."""
    cursor = await connection.execute(
        f"SELECT substr(s.component, 2)::int, (extract(epoch FROM r.{time}) * 1000000)::bigint, "
        f"{columns} FROM {table} r JOIN series s ON s.id = r.series_id ORDER BY 1, 2, 3"
    )
    return await cursor.fetchall()


async def check(connection: Connection, samples: Samples) -> None:
    raw = _rows([samples.series, samples.times, samples.values])
    assert await rows(connection, "system_metrics", "value", "time") == raw
    buckets = recomputed_distributions(samples, 0)
    stored = await rows(connection, "system_distributions", "log_bucket, count", "time")
    assert stored == buckets
    for name, width_s in {"1m": 60, "5m": 300, "1h": 3600, "1d": DAY_S}.items():
        found = await rows(connection, f"system_metrics_{name}", COLUMNS["metrics"])
        assert found == recomputed(samples, width_s), name
    for name, width_s in {"5m": 300, "1h": 3600, "1d": DAY_S}.items():
        found = await rows(connection, f"system_counters_{name}", COLUMNS["counters"])
        assert found == recomputed_counters(samples, width_s), name
        found = await rows(connection, f"system_distributions_{name}", COLUMNS["distributions"])
        assert found == recomputed_distributions(samples, width_s), name


@pytest.mark.slow
async def test_a_million_shuffled_samples_of_a_day_are_rolled_up_as_if_in_order(
    pool: Pool, engine: Engine
) -> None:
    chance = np.random.default_rng(5)
    count, batch = (SAMPLES_EMBEDDED, BATCH_EMBEDDED) if engine.embedded else (SAMPLES, BATCH)
    samples = made(count, chance)
    is_over = asyncio.Event()
    writer = Writer(pool, lambda _: None, can_copy=not engine.embedded)
    async with asyncio.TaskGroup() as group:
        group.create_task(maintain(pool, is_over), name="maintain")
        accepted = await write_shuffled(writer, samples, batch, chance)
        is_over.set()

    assert accepted == len(samples.times)
    async with pool.connection() as connection:
        await tiers.maintain(connection, NOW)
        await check(connection, samples)
