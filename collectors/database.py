"""Measures Vigia's own database: latency, load, size, and failed jobs."""

import time as clock
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import structs
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from collectors.metrics import Reading, samples_of, series_of
from collectors.sql_files.measurement import Measurement, load
from model.series import Category, Labels, Sample, Series

BLOCKS_HIT = "database_blocks_hit_total"
BLOCKS_READ = "database_blocks_read_total"


class Database:
    """Component `database`, measured over a connection of the service's pool."""

    name = "database"
    category = Category.DATABASE

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._measurements = load(self.name)
        self._kept: dict[str, tuple[float, list[Sample]]] = {}
        self._blocks: tuple[float, float] | None = None

    async def collect(self, time: datetime) -> list[Sample]:
        readings = list(_pool_readings(self._pool.get_stats()))
        samples: list[Sample] = []
        # The transaction sends BEGIN before the latency is measured. Otherwise psycopg would send
        # it with the first statement, and the latency would be two round trips.
        async with self._pool.connection() as connection, connection.transaction():
            readings.append(await _latency(connection))
            for measurement in self._measurements:
                samples += await self._take(measurement, connection, time)
        readings += self._cache_hit(samples)
        return [*samples_of(readings, self.name, self.category, time), *samples]

    async def _take(
        self, measurement: Measurement, connection: AsyncConnection[Any], time: datetime
    ) -> list[Sample]:
        """Run a measurement, or repeat its samples while they are younger than `every_s`."""
        now_s = clock.monotonic()
        until_s, samples = self._kept.get(measurement.name, (now_s, []))
        if now_s >= until_s:
            samples = await measurement.read(connection, time, self.name, self._series_of)
            self._kept[measurement.name] = (now_s + measurement.every_s, samples)
        return [structs.replace(sample, time=time) for sample in samples]

    def _series_of(self, metric: str, component: str, labels: Labels) -> Series:
        return series_of(metric, component, self.category, labels)

    def _cache_hit(self, samples: Iterable[Sample]) -> list[Reading]:
        """Return the percentage of blocks found in the buffer cache since the last run.

        Return nothing for the first run, after a reset of the counters, and without any access.
        """
        totals = {sample.series.metric: sample.value for sample in samples}
        before, self._blocks = self._blocks, None
        if BLOCKS_HIT not in totals:
            return []
        self._blocks = (totals[BLOCKS_HIT], totals[BLOCKS_READ])
        if before is None:
            return []
        hits, reads = (now - then for now, then in zip(self._blocks, before, strict=True))
        if hits < 0 or reads < 0 or hits + reads == 0:
            return []
        return [Reading("database_cache_hit_percent", 100.0 * hits / (hits + reads))]


def _pool_readings(stats: dict[str, int]) -> Iterator[Reading]:
    yield Reading("database_pool_size", stats["pool_size"])
    yield Reading("database_pool_available", stats["pool_available"])
    yield Reading("database_pool_waiting", stats["requests_waiting"])


async def _latency(connection: AsyncConnection[Any]) -> Reading:
    started = clock.perf_counter()
    await connection.execute("SELECT 1")
    return Reading("database_latency_ms", (clock.perf_counter() - started) * 1000)
