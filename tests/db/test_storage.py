"""Rows and bytes come from the catalogue, and are those that counting gives."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from db import storage
from db.queries import Connection, Pool
from tests.retention.world import World

MAPS_BYTES = 6 * 8192
"""A server's own vacuum may add its maps to a chunk and its indexes at any time."""


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    async with pool.connection() as connection:
        yield World(connection)


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
        told = tier.table_bytes + sum(chunk.bytes for chunk in own)
        assert told == pytest.approx(size, abs=MAPS_BYTES), tier.name


async def test_rows_and_bytes_are_exact_before_and_after_compression(world: World) -> None:
    await world.retain(raw_days=20, rollup_days=40)
    await world.fill(days=15)
    await check(world.connection)
    await world.maintain()
    await check(world.connection)

    packed = [chunk for chunk in await storage.chunks(world.connection) if chunk.is_compressed]
    assert {"raw", "1m", "5m", "counters_5m", "distributions"} <= {chunk.tier for chunk in packed}
    assert all(chunk.unpacked_bytes > chunk.bytes // 2 for chunk in packed)
    assert sum(c.unpacked_bytes for c in packed) > sum(c.bytes for c in packed)


async def test_rows_and_bytes_are_exact_with_late_samples(world: World) -> None:
    await world.retain(raw_days=20, rollup_days=40)
    await world.fill(days=15)
    await world.maintain()
    await world.ingest(age_s=8 * 86400, count=40, spacing_s=7)
    await check(world.connection)
    world.now += timedelta(hours=1)
    await world.maintain()
    await check(world.connection)
    world.now += timedelta(hours=1)
    await world.maintain()
    await check(world.connection)


async def test_a_chunk_that_is_large_and_not_compressed_is_estimated(world: World) -> None:
    await world.ingest(age_s=3600, count=20_000, spacing_s=1)
    cursor = await world.connection.execute(
        "SELECT max((chunk_rows(chunk, 'time', 32)).rows) FROM tier_chunks('raw')"
    )
    [(rows,)] = await cursor.fetchall()
    cursor = await world.connection.execute(
        "SELECT count(*) FROM system_metrics GROUP BY time::date ORDER BY 1 DESC LIMIT 1"
    )
    [(count,)] = await cursor.fetchall()

    assert rows != count
    assert rows == pytest.approx(count, rel=0.1)


async def test_an_empty_database_has_empty_tiers(world: World) -> None:
    assert await storage.chunks(world.connection) == []
    assert all(tier.table_bytes > 0 for tier in await storage.tiers(world.connection))
    await check(world.connection)
