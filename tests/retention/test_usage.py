"""Rows and bytes come from the catalogue, and are those that counting gives."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from db.queries import Connection, Pool
from retention import usage as storage
from tests.retention.simulation import Simulation

MAPS_BYTES = 6 * 8192
"""A server's own vacuum may add its maps to a chunk and its indexes at any time."""


@pytest.fixture
async def simulation(pool: Pool) -> AsyncIterator[Simulation]:
    async with pool.connection() as connection:
        yield Simulation(connection)


async def check(connection: Connection) -> None:
    """Compare every tier with a count of its rows, and with TimescaleDB's own sum of its sizes."""
    chunks = await storage.chunks(connection)
    for tier in await storage.tiers(connection):
        own = [chunk for chunk in chunks if chunk.tier == tier.name]
        cursor = await connection.execute(f"SELECT tier_table('{tier.relation}')::text")
        [(table,)] = await cursor.fetchall()
        time = "bucket" if tier.width else "time"
        cursor = await connection.execute(
            f"SELECT count(*), min({time}), max({time}), hypertable_size('{table}') FROM {table}"
        )
        [(count, oldest, newest, size)] = await cursor.fetchall()
        assert sum(chunk.rows for chunk in own) == count, tier.name
        assert min((c.oldest for c in own if c.oldest), default=None) == oldest, tier.name
        assert max((c.newest for c in own if c.newest), default=None) == newest, tier.name
        reported = tier.table_bytes + sum(chunk.bytes for chunk in own)
        assert reported == pytest.approx(size, abs=MAPS_BYTES), tier.name


async def test_rows_and_bytes_are_exact_before_and_after_compression(
    simulation: Simulation,
) -> None:
    await simulation.retain(raw_days=20, rollup_days=40)
    await simulation.fill(days=15)
    await check(simulation.connection)
    await simulation.maintain()
    await check(simulation.connection)

    packed = [chunk for chunk in await storage.chunks(simulation.connection) if chunk.is_compressed]
    assert {"raw", "1m", "5m", "counters_5m", "distributions"} <= {chunk.tier for chunk in packed}
    assert all(chunk.unpacked_bytes > chunk.bytes // 2 for chunk in packed)
    assert sum(c.unpacked_bytes for c in packed) > sum(c.bytes for c in packed)


async def test_rows_and_bytes_are_exact_with_late_samples(simulation: Simulation) -> None:
    await simulation.retain(raw_days=20, rollup_days=40)
    await simulation.fill(days=15)
    await simulation.maintain()
    await simulation.ingest(age_s=8 * 86400, count=40, spacing_s=7)
    await check(simulation.connection)
    simulation.now += timedelta(hours=1)
    await simulation.maintain()
    await check(simulation.connection)
    simulation.now += timedelta(hours=1)
    await simulation.maintain()
    await check(simulation.connection)


async def test_a_chunk_that_is_large_and_not_compressed_is_estimated(
    simulation: Simulation,
) -> None:
    await simulation.ingest(age_s=3600, count=20_000, spacing_s=1)
    cursor = await simulation.connection.execute(
        "SELECT max((chunk_rows(chunk, 'time', 32)).rows) FROM tier_chunks('raw')"
    )
    [(rows,)] = await cursor.fetchall()
    cursor = await simulation.connection.execute(
        "SELECT count(*) FROM system_metrics GROUP BY time::date ORDER BY 1 DESC LIMIT 1"
    )
    [(count,)] = await cursor.fetchall()

    assert rows != count
    assert rows == pytest.approx(count, rel=0.1)


async def test_an_empty_database_has_empty_tiers(simulation: Simulation) -> None:
    assert await storage.chunks(simulation.connection) == []
    assert all(tier.table_bytes > 0 for tier in await storage.tiers(simulation.connection))
    await check(simulation.connection)
